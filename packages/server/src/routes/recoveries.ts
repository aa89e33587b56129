// Recovery to a point in time: first the plan, then its run; and the sandboxes that came of it.

import { z } from '@hono/zod-openapi';
import {
  recoveryPlanSchema,
  recoveryRequestSchema,
  recoveryRunSchema,
  sandboxSchema,
  verifyRequestSchema,
} from '@varve/contract';
import { userOf, type Api, type ServerContext } from '../context.ts';
import { acceptedJob, appParams, describeRoute, done, jsonAnswer, jsonBody } from './route.ts';

const tags = ['recovery'];
const sandboxParams = z.strictObject({ sandbox: z.string().max(64) });

const planRecovery = describeRoute({
  method: 'post',
  path: '/api/apps/{id}/recovery-plans',
  tags,
  summary: 'What a recovery of a database to a point in time would do; nothing is changed',
  request: { params: appParams, body: jsonBody(recoveryRequestSchema) },
  responses: { 200: jsonAnswer(recoveryPlanSchema, 'The plan.') },
});

const runRecovery = describeRoute({
  method: 'post',
  path: '/api/apps/{id}/recoveries',
  tags,
  summary: 'Run a plan that was shown; refused when it is outdated',
  request: { params: appParams, body: jsonBody(recoveryRunSchema) },
  responses: acceptedJob,
});

const listSandboxes = describeRoute({
  method: 'get',
  path: '/api/sandboxes',
  tags,
  summary: 'Servers beside the apps that recoveries made, the newest first',
  responses: { 200: jsonAnswer(z.array(sandboxSchema), 'The sandboxes.') },
});

const promoteSandbox = describeRoute({
  method: 'post',
  path: '/api/sandboxes/{sandbox}/promotion',
  tags,
  summary: 'End the pause of a sandbox: from then on it takes changes',
  request: { params: sandboxParams },
  responses: { 200: jsonAnswer(sandboxSchema, 'The sandbox.') },
});

const removeSandbox = describeRoute({
  method: 'delete',
  path: '/api/sandboxes/{sandbox}',
  tags,
  summary: 'Stop the server of a sandbox and delete all of it',
  request: { params: sandboxParams },
  responses: done,
});

const runVerify = describeRoute({
  method: 'post',
  path: '/api/apps/{id}/proofs',
  tags,
  summary: 'Recover a database into a sandbox, look at its data, remove the sandbox; nothing of the app is touched',
  request: { params: appParams, body: jsonBody(verifyRequestSchema) },
  responses: acceptedJob,
});

export function addRecoveryRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(planRecovery, async (c) =>
    c.json(await varve.planRecovery(c.req.valid('param').id, c.req.valid('json')), 200),
  );
  api.openapi(runRecovery, async (c) => {
    const { id } = c.req.valid('param');
    return c.json(await varve.startRecovery(id, c.req.valid('json'), `user:${userOf(c).name}`), 202);
  });
  api.openapi(runVerify, async (c) => {
    const { id } = c.req.valid('param');
    return c.json(await varve.startVerify(id, c.req.valid('json'), `user:${userOf(c).name}`), 202);
  });
  api.openapi(listSandboxes, async (c) => c.json(await varve.listSandboxes(), 200));
  api.openapi(promoteSandbox, async (c) => c.json(await varve.promoteSandbox(c.req.valid('param').sandbox), 200));
  api.openapi(removeSandbox, async (c) => {
    await varve.removeSandbox(c.req.valid('param').sandbox);
    return c.body(null, 204);
  });
}

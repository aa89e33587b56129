// Restore in place: first the plan, then its run.

import { restorePlanSchema, restoreRequestSchema, restoreRunSchema } from '@varve/contract';
import { userOf, type Api, type ServerContext } from '../context.ts';
import { acceptedJob, appParams, describeRoute, jsonAnswer, jsonBody } from './route.ts';

const tags = ['restore'];

const planRestore = describeRoute({
  method: 'post',
  path: '/api/apps/{id}/restore-plans',
  tags,
  summary: 'What a restore would do, step by step; nothing is changed',
  request: { params: appParams, body: jsonBody(restoreRequestSchema) },
  responses: { 200: jsonAnswer(restorePlanSchema, 'The plan.') },
});

const runRestore = describeRoute({
  method: 'post',
  path: '/api/apps/{id}/restores',
  tags,
  summary: 'Run a plan that was shown; refused when it is outdated',
  request: { params: appParams, body: jsonBody(restoreRunSchema) },
  responses: acceptedJob,
});

export function addRestoreRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(planRestore, async (c) =>
    c.json(await varve.planRestore(c.req.valid('param').id, c.req.valid('json')), 200),
  );
  api.openapi(runRestore, async (c) => {
    const { id } = c.req.valid('param');
    return c.json(await varve.startRestore(id, c.req.valid('json'), `user:${userOf(c).name}`), 202);
  });
}

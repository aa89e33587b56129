// Care of the repository: what is done when, what a prune would do, and the prune.

import { z } from '@hono/zod-openapi';
import { maintenanceSchema, prunePreviewSchema } from '@varve/contract';
import { userOf, type Api, type ServerContext } from '../context.ts';
import { acceptedJob, describeRoute, jsonAnswer, jsonBody } from './route.ts';

const tags = ['repository'];
const nothing = { body: jsonBody(z.strictObject({})) };

const getMaintenance = describeRoute({
  method: 'get',
  path: '/api/repository/maintenance',
  tags,
  summary: 'What was done last for the repository and what comes next by schedule; null before the first app',
  responses: { 200: jsonAnswer(maintenanceSchema.nullable(), 'Checks and prunes.') },
});

const previewPrune = describeRoute({
  method: 'post',
  path: '/api/repository/prune/preview',
  tags,
  summary: 'What a prune would remove now, what stays, and how much space comes back; nothing is changed',
  request: nothing,
  responses: { 200: jsonAnswer(prunePreviewSchema, 'The plan.') },
});

const runPrune = describeRoute({
  method: 'post',
  path: '/api/repository/prune',
  tags,
  summary: 'Give back the space of what no snapshot uses',
  request: nothing,
  responses: acceptedJob,
});

export function addMaintenanceRoutes(api: Api, { varve, shutdown }: ServerContext): void {
  api.openapi(getMaintenance, async (c) => c.json(await varve.getMaintenance(), 200));
  api.openapi(previewPrune, async (c) => {
    const signal = AbortSignal.any([c.req.raw.signal, shutdown]);
    return c.json(await varve.previewPrune({ signal }), 200);
  });
  api.openapi(runPrune, async (c) => c.json(await varve.startPrune(`user:${userOf(c).name}`), 202));
}

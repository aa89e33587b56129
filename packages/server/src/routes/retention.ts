// Retention: what would be forgotten and why, then forgetting exactly that.

import { z } from '@hono/zod-openapi';
import { retentionPreviewSchema } from '@varve/contract';
import { userOf, type Api, type ServerContext } from '../context.ts';
import { acceptedJob, appParams, describeRoute, jsonAnswer, jsonBody } from './route.ts';

const tags = ['retention'];

const previewRetention = describeRoute({
  method: 'get',
  path: '/api/apps/{id}/retention',
  tags,
  summary: 'Which snapshots the policy keeps and removes, and why; nothing is changed',
  request: { params: appParams },
  responses: { 200: jsonAnswer(retentionPreviewSchema, 'The preview.') },
});

const runForget = describeRoute({
  method: 'post',
  path: '/api/apps/{id}/retention',
  tags,
  summary: 'Forget what the preview said; refused when it is outdated',
  request: { params: appParams, body: jsonBody(z.strictObject({ fingerprint: z.string().min(1).max(200) })) },
  responses: acceptedJob,
});

export function addRetentionRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(previewRetention, async (c) => c.json(await varve.previewRetention(c.req.valid('param').id), 200));
  api.openapi(runForget, async (c) => {
    const { id } = c.req.valid('param');
    return c.json(await varve.startForget(id, c.req.valid('json'), `user:${userOf(c).name}`), 202);
  });
}

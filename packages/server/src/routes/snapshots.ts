// Snapshots of an app: list, take, look inside.

import { z } from '@hono/zod-openapi';
import { appIdSchema, appSnapshotSchema, newSnapshotSchema, snapshotDetailsSchema } from '@varve/contract';
import { userOf, type Api, type ServerContext } from '../context.ts';
import { acceptedJob, appParams, describeRoute, jsonAnswer, jsonBody } from './route.ts';

const tags = ['snapshots'];

const listSnapshots = describeRoute({
  method: 'get',
  path: '/api/apps/{id}/snapshots',
  tags,
  summary: 'The snapshots of an app',
  request: { params: appParams },
  responses: { 200: jsonAnswer(z.array(appSnapshotSchema), 'The snapshots.') },
});

const takeSnapshot = describeRoute({
  method: 'post',
  path: '/api/apps/{id}/snapshots',
  tags,
  summary: 'Take a snapshot now',
  request: { params: appParams, body: jsonBody(newSnapshotSchema) },
  responses: acceptedJob,
});

const getSnapshot = describeRoute({
  method: 'get',
  path: '/api/apps/{id}/snapshots/{snapshotId}',
  tags,
  summary: 'One snapshot and its manifest; `latest` or the beginning of an id will do',
  request: { params: z.strictObject({ id: appIdSchema, snapshotId: z.string().min(1).max(64) }) },
  responses: { 200: jsonAnswer(snapshotDetailsSchema, 'The snapshot.') },
});

export function addSnapshotRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(listSnapshots, async (c) => c.json(await varve.listSnapshots(c.req.valid('param').id), 200));
  api.openapi(takeSnapshot, async (c) => {
    const { id } = c.req.valid('param');
    return c.json(await varve.startSnapshot(id, c.req.valid('json'), `user:${userOf(c).name}`), 202);
  });
  api.openapi(getSnapshot, async (c) => {
    const { id, snapshotId } = c.req.valid('param');
    return c.json(await varve.getSnapshot(id, snapshotId), 200);
  });
}

// What an app can be brought back to, and named restore points.

import { madeRestorePointSchema, newRestorePointSchema, timelineQuerySchema, timelineSchema } from '@varve/contract';
import type { Api, ServerContext } from '../context.ts';
import { appParams, describeRoute, jsonAnswer, jsonBody } from './route.ts';

const tags = ['timeline'];

const readTimeline = describeRoute({
  method: 'get',
  path: '/api/apps/{id}/timeline',
  tags,
  summary: 'What the app can be brought back to: ranges, gaps and their reasons, points, restarts, branches',
  request: { params: appParams, query: timelineQuerySchema },
  responses: { 200: jsonAnswer(timelineSchema, 'The timeline, as the repository was at `readAt`.') },
});

const createPoint = describeRoute({
  method: 'post',
  path: '/api/apps/{id}/points',
  tags,
  summary: 'Write a named restore point into the log of a captured database',
  request: { params: appParams, body: jsonBody(newRestorePointSchema) },
  responses: {
    201: jsonAnswer(madeRestorePointSchema, 'The point; the timeline has it once it is in the repository.'),
  },
});

export function addTimelineRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(readTimeline, async (c) => {
    const request = { ...c.req.valid('query'), signal: c.req.raw.signal };
    return c.json(await varve.timeline(c.req.valid('param').id, request), 200);
  });
  api.openapi(createPoint, async (c) => {
    const options = { signal: c.req.raw.signal };
    return c.json(await varve.createRestorePoint(c.req.valid('param').id, c.req.valid('json'), options), 201);
  });
}

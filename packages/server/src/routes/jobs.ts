// Jobs: list, look, cancel.

import { z } from '@hono/zod-openapi';
import { appIdSchema, jobDetailsSchema, jobSchema } from '@varve/contract';
import type { Api, ServerContext } from '../context.ts';
import { describeRoute, jsonAnswer } from './route.ts';

const tags = ['jobs'];
const jobParams = z.strictObject({ id: z.string().min(1).max(100) });

const listJobs = describeRoute({
  method: 'get',
  path: '/api/jobs',
  tags,
  summary: 'Jobs, newest first',
  request: {
    query: z.strictObject({
      appId: appIdSchema.optional(),
      limit: z.coerce.number().int().min(1).max(500).optional(),
      /** Id of the last job of the page before. */
      before: z.string().min(1).max(100).optional(),
    }),
  },
  responses: { 200: jsonAnswer(z.array(jobSchema), 'The jobs.') },
});

const getJob = describeRoute({
  method: 'get',
  path: '/api/jobs/{id}',
  tags,
  summary: 'One job and its log',
  request: { params: jobParams },
  responses: { 200: jsonAnswer(jobDetailsSchema, 'The job.') },
});

const cancelJob = describeRoute({
  method: 'post',
  path: '/api/jobs/{id}/cancel',
  tags,
  summary: 'Ask a job to end; what it stopped is started again',
  request: { params: jobParams },
  responses: { 200: jsonAnswer(jobSchema, 'The job as it is now.') },
});

export function addJobRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(listJobs, async (c) => c.json(await varve.listJobs(c.req.valid('query')), 200));
  api.openapi(getJob, async (c) => c.json(await varve.getJob(c.req.valid('param').id), 200));
  api.openapi(cancelJob, async (c) => c.json(await varve.cancelJob(c.req.valid('param').id), 200));
}

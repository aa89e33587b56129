// Small pieces that the descriptions of all routes share.

import { createRoute, z, type RouteConfig } from '@hono/zod-openapi';
import { apiErrorSchema, appIdSchema, jobSchema } from '@varve/contract';

const errorAnswer = { content: { 'application/json': { schema: apiErrorSchema } } };

/** Describes a route; adds the error answers that every route may give. A query that it does not describe is refused. */
export function describeRoute<R extends RouteConfig>(route: R): R & { getRoutingPath(): string } {
  const responses = {
    ...route.responses,
    '4XX': { description: 'The request cannot be done as it is.', ...errorAnswer },
    '5XX': { description: 'Varve, or something it works with, failed.', ...errorAnswer },
  };
  const request = { query: z.strictObject({}), ...route.request };
  return createRoute({ ...route, request, responses });
}

/** A JSON answer of a schema. */
export function jsonAnswer<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

/** A JSON body that must be there. */
export function jsonBody<S extends z.ZodType>(schema: S) {
  return { required: true, content: { 'application/json': { schema } } };
}

/** The work has begun; the job tells how it goes. */
export const acceptedJob = { 202: jsonAnswer(jobSchema, 'The job that does the work.') };

export const done = { 204: { description: 'Done.' } };

export const appParams = z.strictObject({ id: appIdSchema });

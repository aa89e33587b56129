// Apps: discover, add, list, show, remove, policy.

import { z } from '@hono/zod-openapi';
import {
  appOverviewSchema,
  appSchema,
  componentNameSchema,
  databaseChangeSchema,
  discoveredAppSchema,
  newAppSchema,
  policySchema,
} from '@varve/contract';
import type { Api, ServerContext } from '../context.ts';
import { appParams, describeRoute, done, jsonAnswer, jsonBody } from './route.ts';

const tags = ['apps'];

const discoveryAnswer = z.strictObject({
  apps: z.array(discoveredAppSchema),
  /** Why Docker could not be asked; null when it answered. */
  dockerProblem: z.strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() }).nullable(),
});

const listApps = describeRoute({
  method: 'get',
  path: '/api/apps',
  tags,
  summary: 'All apps and how well each is protected',
  responses: { 200: jsonAnswer(z.array(appOverviewSchema), 'The apps.') },
});

const addApp = describeRoute({
  method: 'post',
  path: '/api/apps',
  tags,
  summary: 'Protect an app: a discovered one, or one made of folders, databases and checkouts',
  request: { body: jsonBody(newAppSchema) },
  responses: { 201: jsonAnswer(appSchema, 'The app.') },
});

const discoverApps = describeRoute({
  method: 'get',
  path: '/api/apps/discover',
  tags,
  summary: 'Apps found on this host, and what would be saved of each',
  responses: { 200: jsonAnswer(discoveryAnswer, 'What was found.') },
});

const getApp = describeRoute({
  method: 'get',
  path: '/api/apps/{id}',
  tags,
  summary: 'One app and how well it is protected',
  request: { params: appParams },
  responses: { 200: jsonAnswer(appOverviewSchema, 'The app.') },
});

const removeApp = describeRoute({
  method: 'delete',
  path: '/api/apps/{id}',
  tags,
  summary: 'Stop protecting an app; its snapshots stay in the repository',
  request: { params: appParams },
  responses: done,
});

const updatePolicy = describeRoute({
  method: 'put',
  path: '/api/apps/{id}/policy',
  tags,
  summary: 'Replace the policy of an app',
  request: { params: appParams, body: jsonBody(policySchema) },
  responses: { 200: jsonAnswer(appSchema, 'The app with its new policy.') },
});

const updateDatabase = describeRoute({
  method: 'put',
  path: '/api/apps/{id}/databases/{component}',
  tags,
  summary: 'Change how a database of an app is saved: by dumps, by its files, by both; how fast; what is absent stays',
  request: { params: appParams.extend({ component: componentNameSchema }), body: jsonBody(databaseChangeSchema) },
  responses: { 200: jsonAnswer(appSchema, 'The app with the change.') },
});

export function addAppRoutes(api: Api, { varve }: ServerContext): void {
  // Before /api/apps/{id}, which would take "discover" for an id.
  api.openapi(discoverApps, async (c) => c.json(await varve.discoverApps(), 200));
  api.openapi(listApps, async (c) => c.json(await varve.listApps(), 200));
  api.openapi(addApp, async (c) => c.json(await varve.addApp(c.req.valid('json')), 201));
  api.openapi(getApp, async (c) => c.json(await varve.getApp(c.req.valid('param').id), 200));
  api.openapi(removeApp, async (c) => {
    await varve.removeApp(c.req.valid('param').id);
    return c.body(null, 204);
  });
  api.openapi(updatePolicy, async (c) =>
    c.json(await varve.updatePolicy(c.req.valid('param').id, c.req.valid('json')), 200),
  );
  api.openapi(updateDatabase, async (c) => {
    const { id, component } = c.req.valid('param');
    return c.json(await varve.updateDatabase(id, component, c.req.valid('json')), 200);
  });
}

// The write-ahead log of an app's databases: how its capture stands, on and off.

import { z } from '@hono/zod-openapi';
import { appSchema, componentNameSchema, walArchiveSchema, walCaptureSchema, walSettingsSchema } from '@varve/contract';
import type { Api, ServerContext } from '../context.ts';
import { appParams, describeRoute, jsonAnswer, jsonBody } from './route.ts';

const tags = ['point in time'];

const listCaptures = describeRoute({
  method: 'get',
  path: '/api/apps/{id}/wal',
  tags,
  summary:
    'How the capture of the write-ahead log of each database stands; databases that are not captured are left out',
  request: { params: appParams },
  responses: { 200: jsonAnswer(z.array(walCaptureSchema), 'The captures.') },
});

const setCapture = describeRoute({
  method: 'put',
  path: '/api/apps/{id}/wal',
  tags,
  summary:
    'Capture the write-ahead log of a database, or of all databases of the app, streamed or through an archive folder, or stop it',
  request: {
    params: appParams,
    body: jsonBody(
      z.strictObject({
        enabled: z.boolean(),
        component: componentNameSchema.optional(),
        archive: walArchiveSchema.optional(),
      }),
    ),
  },
  responses: { 200: jsonAnswer(appSchema, 'The app as it is now.') },
});

const settings = describeRoute({
  method: 'get',
  path: '/api/apps/{id}/wal/settings',
  tags,
  summary: 'What a server needs so that its log comes into a folder by archive_command, and what of it is missing',
  request: {
    params: appParams,
    query: z.strictObject({
      component: componentNameSchema.optional(),
      directory: walArchiveSchema.shape.directory.optional(),
      readFrom: walArchiveSchema.shape.readFrom,
    }),
  },
  responses: { 200: jsonAnswer(walSettingsSchema, 'The settings.') },
});

export function addWalRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(listCaptures, async (c) => c.json(await varve.listWalCaptures(c.req.valid('param').id), 200));
  api.openapi(settings, async (c) => {
    const { component, directory, readFrom } = c.req.valid('query');
    const archive = directory === undefined ? undefined : { directory, readFrom };
    return c.json(await varve.walSettings(c.req.valid('param').id, { component, archive }), 200);
  });
  api.openapi(setCapture, async (c) =>
    c.json(await varve.setWalCapture(c.req.valid('param').id, c.req.valid('json')), 200),
  );
}

// Settings of the installation.

import { settingsSchema, settingsUpdateSchema } from '@varve/contract';
import type { Api, ServerContext } from '../context.ts';
import { describeRoute, done, jsonAnswer, jsonBody } from './route.ts';

const tags = ['settings'];
const settingsAnswer = { 200: jsonAnswer(settingsSchema, 'The settings, without passwords.') };

const getSettings = describeRoute({
  method: 'get',
  path: '/api/settings',
  tags,
  summary: 'The settings',
  responses: settingsAnswer,
});

const updateSettings = describeRoute({
  method: 'put',
  path: '/api/settings',
  tags,
  summary: 'Change settings; what is absent stays as it is',
  request: { body: jsonBody(settingsUpdateSchema) },
  responses: settingsAnswer,
});

const testEmail = describeRoute({
  method: 'post',
  path: '/api/settings/test-email',
  tags,
  summary: 'Send an e-mail with the settings as they are stored',
  responses: done,
});

export function addSettingsRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(getSettings, async (c) => c.json(await varve.getSettings(), 200));
  api.openapi(updateSettings, async (c) => c.json(await varve.updateSettings(c.req.valid('json')), 200));
  api.openapi(testEmail, async (c) => {
    await varve.sendTestEmail();
    return c.body(null, 204);
  });
}

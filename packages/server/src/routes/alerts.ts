// Alerts: what is wrong with the protection, open or closed.

import { z } from '@hono/zod-openapi';
import { alertSchema } from '@varve/contract';
import type { Api, ServerContext } from '../context.ts';
import { describeRoute, jsonAnswer } from './route.ts';

const listAlerts = describeRoute({
  method: 'get',
  path: '/api/alerts',
  tags: ['alerts'],
  summary: 'Alerts, newest first',
  request: { query: z.strictObject({ open: z.enum(['true', 'false']).optional() }) },
  responses: { 200: jsonAnswer(z.array(alertSchema), 'The alerts.') },
});

export function addAlertRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(listAlerts, async (c) => {
    const { open } = c.req.valid('query');
    return c.json(await varve.listAlerts(open === undefined ? {} : { open: open === 'true' }), 200);
  });
}

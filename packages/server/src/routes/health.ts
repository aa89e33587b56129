// Liveness, for supervisors; says nothing about the installation.

import { z } from '@hono/zod-openapi';
import type { Api } from '../context.ts';
import { describeRoute, jsonAnswer } from './route.ts';

const getHealth = describeRoute({
  method: 'get',
  path: '/healthz',
  tags: ['system'],
  summary: 'Whether the server answers',
  security: [],
  responses: { 200: jsonAnswer(z.strictObject({ status: z.literal('ok') }), 'It does.') },
});

export function addHealthRoutes(api: Api): void {
  api.openapi(getHealth, (c) => c.json({ status: 'ok' as const }, 200));
}

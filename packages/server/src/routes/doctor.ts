// What is right and wrong with this installation and its host.

import { z } from '@hono/zod-openapi';
import { doctorCheckSchema } from '@varve/contract';
import type { Api, ServerContext } from '../context.ts';
import { describeRoute, jsonAnswer } from './route.ts';

const getDoctor = describeRoute({
  method: 'get',
  path: '/api/doctor',
  tags: ['system'],
  summary: 'Look at what Varve needs and say what is missing',
  responses: { 200: jsonAnswer(z.array(doctorCheckSchema), 'The checks.') },
});

export function addDoctorRoutes(api: Api, { varve }: ServerContext): void {
  api.openapi(getDoctor, async (c) => c.json(await varve.doctor(), 200));
}

// The description of the API, made from the routes themselves.

import { z } from '@hono/zod-openapi';
import type { Api, ServerContext } from '../context.ts';
import { describeRoute, jsonAnswer } from './route.ts';

const getOpenApi = describeRoute({
  method: 'get',
  path: '/api/openapi.json',
  tags: ['system'],
  summary: 'This description, as OpenAPI 3.1',
  responses: { 200: jsonAnswer(z.record(z.string(), z.unknown()), 'The OpenAPI document.') },
});

export function addOpenApiRoute(api: Api, { version }: ServerContext): void {
  api.openAPIRegistry.registerComponent('securitySchemes', 'session', {
    type: 'apiKey',
    in: 'cookie',
    name: 'varve.session_token',
    description: 'Made by POST /api/sign-in. Over https the name begins with __Secure-.',
  });
  api.openapi(getOpenApi, (c) => {
    const document = api.getOpenAPI31Document({
      openapi: '3.1.0',
      info: { title: 'Varve', version, description: 'Takes any Docker app back to any second.' },
      security: [{ session: [] }],
    });
    // The generator's own types allow more than JSON has.
    return c.json(z.record(z.string(), z.json()).parse(document), 200);
  });
}

// Who am I, first-run owner, sign in and out.

import { newOwnerSchema, sessionStateSchema, signInSchema, type SessionState } from '@varve/contract';
import type { Context } from 'hono';
import { clientAddress, type Api, type ServerContext, type ServerEnv } from '../context.ts';
import type { SignedIn } from '../accounts/accounts.ts';
import { describeRoute, done, jsonAnswer, jsonBody } from './route.ts';

const stateAnswer = { 200: jsonAnswer(sessionStateSchema, 'The state of the session.') };

const getSession = describeRoute({
  method: 'get',
  path: '/api/session',
  tags: ['session'],
  summary: 'Whether there is an owner yet, and who is signed in',
  security: [],
  responses: stateAnswer,
});

const setup = describeRoute({
  method: 'post',
  path: '/api/setup',
  tags: ['session'],
  summary: 'Make the first owner, with the token that the server printed, and sign in',
  security: [],
  request: { body: jsonBody(newOwnerSchema) },
  responses: stateAnswer,
});

const signIn = describeRoute({
  method: 'post',
  path: '/api/sign-in',
  tags: ['session'],
  summary: 'Open a session',
  security: [],
  request: { body: jsonBody(signInSchema) },
  responses: stateAnswer,
});

const signOut = describeRoute({
  method: 'post',
  path: '/api/sign-out',
  tags: ['session'],
  summary: 'End the session',
  responses: done,
});

export function addSessionRoutes(api: Api, context: ServerContext): void {
  const { accounts, version } = context;

  const signedIn = (c: Context<ServerEnv>, result: SignedIn): SessionState => {
    for (const cookie of result.cookies) c.header('Set-Cookie', cookie, { append: true });
    return { setupNeeded: false, user: result.user, version };
  };

  api.openapi(getSession, (c) => {
    const state: SessionState = { setupNeeded: accounts.isSetupNeeded(), user: c.get('user'), version };
    return c.json(state, 200);
  });

  api.openapi(setup, async (c) => {
    const result = await accounts.createOwner(c.req.valid('json'), { address: clientAddress(c) });
    context.logger.info('the owner was created', { email: result.user.email });
    return c.json(signedIn(c, result), 200);
  });

  api.openapi(signIn, async (c) => {
    const result = await accounts.signIn(c.req.valid('json'), { address: clientAddress(c) });
    return c.json(signedIn(c, result), 200);
  });

  api.openapi(signOut, async (c) => {
    for (const cookie of await accounts.signOut(c.req.raw.headers)) c.header('Set-Cookie', cookie, { append: true });
    return c.body(null, 204);
  });
}

// The repository: its state, its check, and the recovery kit, which is shown only after the password was given again.

import { z } from '@hono/zod-openapi';
import { recoveryKitSchema, repositoryInfoSchema, storageCheckSchema } from '@varve/contract';
import { streamSSE } from 'hono/streaming';
import { clientAddress, userOf, type Api, type ServerContext } from '../context.ts';
import { acceptedJob, describeRoute, done, jsonAnswer, jsonBody } from './route.ts';

const tags = ['repository'];

const getRepository = describeRoute({
  method: 'get',
  path: '/api/repository',
  tags,
  summary: 'The repository and its state; null before the first app',
  responses: { 200: jsonAnswer(repositoryInfoSchema.nullable(), 'The repository.') },
});

const checkRepository = describeRoute({
  method: 'post',
  path: '/api/repository/check',
  tags,
  summary: 'Check the repository, with all data read when asked',
  request: { body: jsonBody(z.strictObject({ readData: z.boolean().default(false) })) },
  responses: acceptedJob,
});

const testStorage = describeRoute({
  method: 'post',
  path: '/api/repository/test',
  tags,
  summary: 'Try whether the storage does what a repository relies on, with small files that are removed again',
  request: { body: jsonBody(z.strictObject({})) },
  responses: {
    200: {
      description: 'Server-sent events; the data of each is one check, as it ends. Going away ends the test.',
      content: { 'text/event-stream': { schema: storageCheckSchema } },
    },
  },
});

/** A storage that answers nothing is given up after this, whatever the retries would still do. */
const testLimitMs = 5 * 60_000;

const showRecoveryKit = describeRoute({
  method: 'post',
  path: '/api/repository/recovery-kit',
  tags,
  summary: 'All that is needed to read the repository without Varve; asks for the password again',
  request: { body: jsonBody(z.strictObject({ password: z.string().min(1).max(200) })) },
  responses: { 200: jsonAnswer(recoveryKitSchema, 'The recovery kit. Keep it away from this machine.') },
});

const confirmRecoveryKit = describeRoute({
  method: 'post',
  path: '/api/repository/recovery-kit/confirm',
  tags,
  summary: 'Say that the recovery kit is stored elsewhere',
  responses: done,
});

export function addRepositoryRoutes(api: Api, { varve, accounts, logger, shutdown }: ServerContext): void {
  api.openapi(getRepository, async (c) => c.json(await varve.getRepository(), 200));
  api.openapi(checkRepository, async (c) =>
    c.json(await varve.startCheck(c.req.valid('json'), `user:${userOf(c).name}`), 202),
  );
  api.openapi(testStorage, async (c) => {
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, c.req.raw.signal, shutdown, AbortSignal.timeout(testLimitMs)]);
    const checks = varve.testStorage({ signal });
    // What is wrong before the first check is an error like any other.
    const first = await checks.next();
    const response = streamSSE(c, async (out) => {
      out.onAbort(() => gone.abort());
      try {
        for (let check = first; check.done !== true; check = await checks.next()) {
          await out.writeSSE({ event: 'check', data: JSON.stringify(check.value) });
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        await checks.return(undefined);
      }
    });
    response.headers.set('Cache-Control', 'no-store, no-transform');
    response.headers.set('X-Accel-Buffering', 'no');
    return response;
  });
  api.openapi(showRecoveryKit, async (c) => {
    const user = userOf(c);
    const { password } = c.req.valid('json');
    await accounts.verifyPassword({ headers: c.req.raw.headers, password, user, address: clientAddress(c) });
    logger.info('the recovery kit was shown', { user: user.email });
    return c.json(await varve.recoveryKit(), 200);
  });
  api.openapi(confirmRecoveryKit, async (c) => {
    await varve.confirmRecoveryKit();
    return c.body(null, 204);
  });
}

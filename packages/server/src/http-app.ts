// Puts middleware and routes together. Order matters: the host and the origin of a request are judged before its session,
// the session before its body.

import { OpenAPIHono } from '@hono/zod-openapi';
import { AppError } from '@varve/base';
import { HTTPException } from 'hono/http-exception';
import { timeout } from 'hono/timeout';
import type { Api, ServerContext, ServerEnv } from './context.ts';
import { bodyLimit } from './middleware/body-limit.ts';
import { csrfCheck } from './middleware/csrf.ts';
import { errorHandler, notFoundHandler } from './middleware/errors.ts';
import { hostCheck } from './middleware/host-check.ts';
import { requestLog } from './middleware/request-log.ts';
import { securityHeaders } from './middleware/security-headers.ts';
import { sessionCheck } from './middleware/session.ts';
import { addAlertRoutes } from './routes/alerts.ts';
import { addAppRoutes } from './routes/apps.ts';
import { addDoctorRoutes } from './routes/doctor.ts';
import { addEventRoutes } from './routes/events.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addJobRoutes } from './routes/jobs.ts';
import { addMaintenanceRoutes } from './routes/maintenance.ts';
import { addOpenApiRoute } from './routes/openapi.ts';
import { addRepositoryRoutes } from './routes/repository.ts';
import { addRecoveryRoutes } from './routes/recoveries.ts';
import { addRestoreRoutes } from './routes/restores.ts';
import { addRetentionRoutes } from './routes/retention.ts';
import { addSessionRoutes } from './routes/session.ts';
import { addSettingsRoutes } from './routes/settings.ts';
import { addSnapshotFileRoutes } from './routes/snapshot-files.ts';
import { addSnapshotRoutes } from './routes/snapshots.ts';
import { addTimelineRoutes } from './routes/timeline.ts';
import { addWalRoutes } from './routes/wal.ts';
import { addStaticUi } from './static-ui.ts';

/** For an answer; what takes longer is a job. */
const answerTimeoutMs = 120_000;
/** The stream of events, and the plan of a prune, which may look at every folder once and ends when its reader leaves. */
const unlimited: ReadonlySet<string> = new Set(['/api/events', '/api/repository/prune/preview']);

/** The whole HTTP surface as one fetch handler. */
export function createHttpApp(context: ServerContext & { readonly listenHost: string }): Api {
  const api: Api = new OpenAPIHono<ServerEnv>({
    strict: false,
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.target, result.error.issues);
    },
  });
  api.onError(errorHandler(context));
  api.notFound(notFoundHandler);

  api.use(requestLog(context), securityHeaders(context), hostCheck(context), csrfCheck(context), bodyLimit());
  api.use('/api/*', sessionCheck(context));
  const withTimeout = timeout(answerTimeoutMs, () => new HTTPException(504));
  api.use('/api/*', (c, next) => (unlimited.has(c.req.path) ? next() : withTimeout(c, next)));

  addHealthRoutes(api);
  addSessionRoutes(api, context);
  addAppRoutes(api, context);
  addSnapshotRoutes(api, context);
  addSnapshotFileRoutes(api, context);
  addRestoreRoutes(api, context);
  addTimelineRoutes(api, context);
  addRecoveryRoutes(api, context);
  addRetentionRoutes(api, context);
  addWalRoutes(api, context);
  addJobRoutes(api, context);
  addEventRoutes(api, context);
  addAlertRoutes(api, context);
  addRepositoryRoutes(api, context);
  addMaintenanceRoutes(api, context);
  addSettingsRoutes(api, context);
  addDoctorRoutes(api, context);
  addOpenApiRoute(api, context);
  addStaticUi(api, context);
  return api;
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Names the first fault in the message and all of them in the context. */
function invalidRequest(target: string, issues: readonly Issue[]): AppError {
  const lines = issues.map((issue) => {
    const path = issue.path.map(String).join('.');
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  const where = target === 'json' ? 'body' : target;
  return new AppError('USAGE_INVALID', `The ${where} of the request is not valid: ${lines[0] ?? 'unknown fault'}.`, {
    hint: 'GET /api/openapi.json describes every request.',
    context: { issues: lines },
  });
}

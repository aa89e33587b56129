// Proves that a database can be recovered: recovers it into a sandbox, looks at every page, every index and whatever the user
// asks, and removes the sandbox. Nothing of the app is touched.

import { join } from 'node:path';
import { AppError, isAppError, messageOf } from '@varve/base';
import type { App, JobResult, VerifyCheck, VerifyRequest } from '@varve/contract';
import { recoveryRequestSchema } from '@varve/contract';
import { formatUnixMicros, readPgControl, type PgConnection } from '@varve/postgres';
import { openSession } from '../recovery/follow-recovery.ts';
import { placeNames } from '../recovery/recovery-server.ts';
import type { RecoveryRecords } from '../recovery/recovery-records.ts';
import { runRecovery, type RecoveredDatabase } from '../recovery/run-recovery.ts';
import { removeRecovery, serverOf } from '../recovery/sandboxes.ts';
import type { RunContext } from '../use-case.ts';
import { checkDatabaseName, checkIndexes, checkQuery, databasesOf } from './check-database.ts';
import { checkPages } from './check-pages.ts';

export interface RunVerifyInput {
  readonly app: App;
  readonly request: VerifyRequest;
  readonly records: RecoveryRecords;
  /** Called with what was found, also before it fails. */
  readonly onResult: (result: Extract<JobResult, { type: 'verify' }>) => void;
}

/** VERIFY_FAILED names the checks that failed; the errors of a recovery. The sandbox is gone when it resolves or rejects. */
export async function runVerify(
  context: RunContext,
  input: RunVerifyInput,
): Promise<{ readonly baseSnapshotId: string }> {
  const { app, request, records } = input;
  const startedAt = context.clock.now().getTime();
  const recovered = await recover(context, input);
  const id = recovered.sandbox?.id ?? '';
  const checks: VerifyCheck[] = [
    {
      name: 'recovery',
      subject: recovered.plan.component,
      state: 'passed',
      message: recoveryMessage(recovered),
      seconds: recovered.seconds,
    },
  ];
  try {
    checks.push(...(await lookInto(context, { records, id, request })));
  } finally {
    const record = await records.sandbox(id);
    await removeRecovery(record, context);
    await records.remove(id);
  }
  const { plan, state } = recovered;
  input.onResult({
    type: 'verify',
    component: plan.component,
    baseSnapshotId: plan.base.snapshotId,
    lastCommitAt: state.lastCommitMicros === null ? null : formatUnixMicros(state.lastCommitMicros),
    checks,
    seconds: (context.clock.now().getTime() - startedAt) / 1000,
  });
  const failed = checks.filter((check) => check.state === 'failed');
  if (failed.length > 0) {
    const list = failed.map(({ name, subject, message }) => `${name} of ${subject}: ${message}`).join('; ');
    throw new AppError('VERIFY_FAILED', `The database "${plan.component}" of ${app.id} did not pass: ${list}`, {
      hint: 'Verify another point. Take a new base backup, and look whether the running database has the same fault.',
      context: { component: plan.component, failed: failed.length },
    });
  }
  return { baseSnapshotId: plan.base.snapshotId };
}

function recover(context: RunContext, { app, request, records }: RunVerifyInput): Promise<RecoveredDatabase> {
  const { component, target, timeline, folder } = request;
  return runRecovery(context, {
    app,
    request: recoveryRequestSchema.parse({
      target,
      destination: { type: 'sandbox', ...(folder === undefined ? {} : { folder }) },
      safetySnapshot: false,
      ...(component === undefined ? {} : { component }),
      ...(timeline === undefined ? {} : { timeline }),
    }),
    fingerprint: null,
    isProof: true,
    records,
    takeSafetySnapshot: () => Promise.reject(new AppError('INTERNAL', 'A proof takes no safety snapshot.')),
  });
}

function recoveryMessage({ plan, state }: RecoveredDatabase): string {
  const until = state.lastCommitMicros === null ? plan.stop.lsn : formatUnixMicros(state.lastCommitMicros);
  return `base backup ${plan.base.snapshotId.slice(0, 8)} and ${plan.wal.segments} segments of log, up to ${until}`;
}

interface LookInput {
  readonly records: RecoveryRecords;
  readonly id: string;
  readonly request: VerifyRequest;
}

async function lookInto(context: RunContext, { records, id, request }: LookInput): Promise<VerifyCheck[]> {
  const record = await records.sandbox(id);
  const opened = await serverOf(record, context);
  if (opened === undefined) throw new AppError('RECOVERY_FAILED', `The sandbox ${id} is not there any more.`);
  const { place, server } = opened;
  const listen = record.place.type === 'host' && record.place.port !== null ? { port: record.place.port } : undefined;
  const open = async (database: string): Promise<PgConnection> =>
    (await openSession({ place, listen, users: record.users, context, database })).connection;
  const measured = measuring(context);
  const checks: VerifyCheck[] = [];
  const databases = await databasesOf(open);
  for (const database of request.indexes ? databases : []) {
    checks.push(await measured('indexes', database, () => checkIndexes(open, database, context.signal)));
  }
  for (const { database = checkDatabaseName(databases), sql } of request.queries) {
    checks.push(
      await measured('query', `${database}: ${shortened(sql)}`, () =>
        checkQuery(open, { database, sql }, context.signal),
      ),
    );
  }
  await server.stop('fast');
  const data = join(place.here, placeNames.data);
  checks.push(
    await measured('page-checksums', record.component, async () => {
      if (!(await readPgControl(data)).hasDataChecksums)
        return { state: 'skipped' as const, message: 'the cluster has no page checksums' };
      const { pages, badPages, named } = await checkPages(data, { signal: context.signal });
      return badPages === 0
        ? { state: 'passed' as const, message: `${pages} pages are right` }
        : { state: 'failed' as const, message: `${badPages} of ${pages} pages are damaged: ${named.join('; ')}` };
    }),
  );
  return checks;
}

type Check = () => Promise<Pick<VerifyCheck, 'state' | 'message'>>;

/** Runs a check and takes its time; an error of the server is a failed check. */
function measuring(context: RunContext) {
  return async (name: VerifyCheck['name'], subject: string, check: Check): Promise<VerifyCheck> => {
    context.report({ step: `verify:${name}`, filesDone: 0, bytesDone: 0 });
    const startedAt = context.clock.now().getTime();
    const seconds = (): number => (context.clock.now().getTime() - startedAt) / 1000;
    let found: Awaited<ReturnType<Check>>;
    try {
      found = await check();
    } catch (error) {
      if (!isAppError(error) || error.code === 'CANCELLED') throw error;
      found = { state: 'failed', message: messageOf(error) };
    }
    const words = { passed: 'passed', failed: 'FAILED', skipped: 'skipped' }[found.state];
    context.log(found.state === 'failed' ? 'error' : 'info', `${name} of ${subject}: ${words}, ${found.message}.`);
    return { name, subject, ...found, seconds: seconds() };
  };
}

function shortened(sql: string): string {
  const line = sql.replace(/\s+/g, ' ').trim();
  return line.length <= 80 ? line : `${line.slice(0, 77)}…`;
}

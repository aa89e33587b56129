// The demonstration's second part: back to any second. Orders are deleted at a known moment while the business goes on; the database
// is brought back to the second before, and what was sold since comes over from a clone of the moment before the recovery.

import type { Varve } from '@varve/app';
import { AppError, formatBytes, formatDuration, sleep } from '@varve/base';
import {
  recoveryRequestSchema,
  type Job,
  type RecoverableRange,
  type RecoveryPlan,
  type Sandbox,
} from '@varve/contract';
import type { BusinessApp } from './business-app.ts';
import { deleteOrders, readOrders, sellUntilStopped, takeOver, type Order } from './sales.ts';

export interface SecondStoryOptions {
  readonly varve: Varve;
  readonly app: BusinessApp;
  readonly appId: string;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
  /** Waits for a job to end well, and yields it. */
  readonly finishJob: (job: Job) => Promise<Job>;
}

const salesBeforeMs = 4000;
const salesAfterMs = 3000;
const pollMs = 500;
/** A base backup, and some seconds of log in the repository. */
const patienceMs = 180_000;

/** Turns the capture on, tells the mistake and the way back, and throws when anything is not as it should be. */
export async function tellSecondStory(options: SecondStoryOptions): Promise<void> {
  const { varve, app, appId, print } = options;
  print('\n7. Now every second is to count: Varve captures the write-ahead log of the database as it is written.');
  print('   No restart, nothing to install in the database; the base backup that it needs is taken by itself.');
  await varve.setWalCapture(appId, { enabled: true });
  await waitForRange(options, () => true);

  const mistake = await theAfternoon(options);
  print(
    `\n8. The shop sells on, and at ${clock(mistake.deletedAt)} somebody deletes ${mistake.deleted.length} orders.`,
  );
  print(`   Nobody notices: ${mistake.later.length} more orders are sold.`);

  const range = await waitForRange(options, ({ toAt }) => Date.parse(toAt) >= mistake.lastSaleAt.getTime());
  print(
    `\n9. Any moment can be reached from ${clock(range.fromAt)} to ${clock(range.toAt)}, the last order that was sold.`,
  );

  const target = new Date(mistake.deletedAt.getTime() - 1000);
  await inPlace(options, target, range);
  const after = await readOrders(app);
  const missing = mistake.deleted.filter(({ id }) => !after.has(id));
  if (missing.length > 0) throw differs(`${missing.length} deleted orders are not back`);
  const lost = mistake.later.filter(({ id }) => !after.has(id));
  print(`   ✓ all ${mistake.deleted.length} deleted orders are back`);
  print(`   – ${lost.length} orders that were sold since are the price`);

  const kept = await keepBoth(options, range, lost);
  print(
    `   ✓ ${kept} orders came over from the clone: nothing is lost, neither what was deleted nor what was sold since.`,
  );
}

interface Afternoon {
  readonly deletedAt: Date;
  readonly deleted: readonly Order[];
  /** Sold after the target, acknowledged by the database. */
  readonly later: readonly Order[];
  readonly lastSaleAt: Date;
}

async function theAfternoon({ app, signal }: SecondStoryOptions): Promise<Afternoon> {
  const sales = sellUntilStopped(app);
  await sleep(salesBeforeMs, { signal });
  const { at: deletedAt, orders: deleted } = await deleteOrders(app);
  await sleep(salesAfterMs, { signal });
  const sold = await sales.stop();
  const target = deletedAt.getTime() - 1000;
  const later = sold.filter(({ soldAt }) => soldAt.getTime() > target);
  const last = sold.at(-1);
  if (!last || later.length === 0) throw differs('nothing was sold');
  return { deletedAt, deleted, later, lastSaleAt: last.soldAt };
}

/** The range of the present history, once it is as wanted. */
async function waitForRange(
  { varve, appId, signal }: SecondStoryOptions,
  isWanted: (range: RecoverableRange) => boolean,
): Promise<RecoverableRange> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const { databases } = await varve.timeline(appId, { fresh: true, signal });
    const range = databases[0]?.ranges.findLast(({ branch }) => branch === 'current');
    if (range && isWanted(range)) return range;
    if (Date.now() > deadline) {
      const [capture] = await varve.listWalCaptures(appId);
      const why = capture?.problem?.message ?? capture?.commitProblem?.message ?? 'no reason is known';
      throw differs(`the log did not come into the repository in time (${why})`);
    }
    await sleep(pollMs, { signal });
  }
}

async function inPlace(options: SecondStoryOptions, target: Date, range: RecoverableRange): Promise<void> {
  const { varve, appId, print } = options;
  const request = recoveryRequestSchema.parse({
    target: { type: 'time', time: target.toISOString() },
    destination: { type: 'in-place' },
    timeline: range.timeline,
    // What there is now is in the repository to the last order: the clone below is made of it.
    safetySnapshot: false,
  });
  const plan = await varve.planRecovery(appId, request);
  print(`\n10. The plan of going back to ${clock(target)}, the second before, while nothing is touched yet:`);
  for (const line of describePlan(plan)) print(`   · ${line}`);
  const job = await varve.startRecovery(appId, { ...request, fingerprint: plan.fingerprint }, 'demo');
  const done = await options.finishJob(job);
  print(`   Done in ${durationOf(done)}:`);
}

function describePlan({ base, wal, stop, estimate }: RecoveryPlan): string[] {
  const replayed = `${wal.segments} ${wal.segments === 1 ? 'segment' : 'segments'} of log, ${formatBytes(wal.bytes)}`;
  return [
    `begin with the base backup of ${clock(base.time)}, ${formatBytes(base.bytes)}`,
    `replay ${replayed}, by the database's own programs, beside the database that runs`,
    `the last order that will be there was committed at ${stop.lastCommitAt === null ? '-' : clock(stop.lastCommitAt)}`,
    `then swap the data folders; about ${formatDuration(estimate.seconds * 1000)} in all`,
  ];
}

/** Copies what was sold since from a clone of the end of the history that was left; yields how many orders. */
async function keepBoth(options: SecondStoryOptions, range: RecoverableRange, lost: readonly Order[]): Promise<number> {
  const { varve, app, appId, print } = options;
  const port = await app.freePort();
  const request = recoveryRequestSchema.parse({
    target: { type: 'latest' },
    timeline: range.timeline,
    destination: { type: 'sandbox', port },
  });
  const plan = await varve.planRecovery(appId, request);
  const job = await varve.startRecovery(appId, { ...request, fingerprint: plan.fingerprint }, 'demo');
  const done = await options.finishJob(job);
  const sandbox = await newestSandbox(varve, appId);
  print(`\n11. To keep both, a clone of the moment before that stands beside the app, made in ${durationOf(done)}.`);
  try {
    const client = await app.connect({ port });
    try {
      return await takeOver({ from: client, to: app, orders: lost });
    } finally {
      await client.end();
    }
  } finally {
    await varve.removeSandbox(sandbox.id);
  }
}

async function newestSandbox(varve: Varve, appId: string): Promise<Sandbox> {
  const sandbox = (await varve.listSandboxes()).find((one) => one.appId === appId);
  if (!sandbox) throw differs('the clone is not in the list of sandboxes');
  return sandbox;
}

function clock(time: Date | string): string {
  return `${new Date(time).toISOString().slice(11, 23)} UTC`;
}

function durationOf(job: Job): string {
  return formatDuration(Date.parse(job.finishedAt ?? '') - Date.parse(job.startedAt ?? ''));
}

function differs(what: string): AppError {
  return new AppError('RESTORE_FAILED', `The demonstration of point-in-time recovery failed: ${what}.`, {
    hint: 'This is a bug: please report it with the output above.',
  });
}

// The demonstration, step by step: protect a business app, snapshot it, ruin it, bring it back, prove that nothing is
// missing. It uses Varve as a user does; it knows the app only from outside.

import type { Varve } from '@varve/app';
import { AppError, formatBytes, formatDuration } from '@varve/base';
import { newAppSchema, restoreRequestSchema, type Job, type RestoreStep } from '@varve/contract';
import { tellSecondStory } from './second-story.ts';
import { damage, readFacts, type BusinessApp, type BusinessFacts } from './business-app.ts';

export interface StoryOptions {
  readonly varve: Varve;
  readonly app: BusinessApp;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

const factNames: readonly (readonly [keyof BusinessFacts, string])[] = [
  ['customers', 'customers'],
  ['orders', 'orders'],
  ['revenue', 'revenue'],
  ['rowsDigest', 'digest of all rows'],
  ['files', 'invoice files'],
  ['filesDigest', 'digest of all files'],
  ['commit', 'code is at commit'],
];

function shorten(value: string | number): string {
  const text = String(value);
  return text.length > 16 ? `${text.slice(0, 16)}…` : text;
}

function describe(facts: BusinessFacts): string {
  return `${facts.customers} customers, ${facts.orders} orders worth ${facts.revenue}, ${facts.files} invoice files, code at ${facts.commit} “${facts.commitSubject}”`;
}

function describeStep(step: RestoreStep): string {
  switch (step.type) {
    case 'safety-snapshot':
      return 'take a safety snapshot of the app as it is now';
    case 'stop-containers':
      return `stop ${step.containers.join(', ')}`;
    case 'run-stop-command':
      return `run ${step.command}`;
    case 'stop-database':
      return `stop the database server of ${step.component}`;
    case 'restore-volume':
      return `put back ${step.component}: ${step.files} files, ${formatBytes(step.bytes)}`;
    case 'restore-code':
      return `put the code of ${step.component} back to commit ${step.toCommit?.slice(0, 7) ?? 'none'}`;
    case 'start-database':
      return `start the database server of ${step.component}`;
    case 'restore-database':
      return `put back the database ${step.component}, ${formatBytes(step.bytes)}`;
    case 'start-containers':
      return `start ${step.containers.join(', ')}`;
    case 'run-start-command':
      return `run ${step.command}`;
    case 'wait-healthy':
      return `wait until ${step.containers.join(', ')} answers`;
  }
}

async function finishJob(options: StoryOptions, job: Job): Promise<Job> {
  const done = await options.varve.waitForJob(job.id, { signal: options.signal });
  if (done.state === 'succeeded') return done;
  const problem = done.problems[0];
  throw new AppError(
    'RESTORE_FAILED',
    done.error?.message ?? `The ${done.type} ended ${done.state}: ${problem?.path} ${problem?.message}`,
    { hint: done.error?.hint ?? 'Run the demonstration again; please report it when it fails twice.' },
  );
}

function durationOf(job: Job): string {
  return formatDuration(Date.parse(job.finishedAt ?? '') - Date.parse(job.startedAt ?? ''));
}

function prove(options: StoryOptions, before: BusinessFacts, after: BusinessFacts): void {
  const differing: string[] = [];
  for (const [key, name] of factNames) {
    const same = before[key] === after[key];
    options.print(`   ${same ? '✓' : '✗'} ${name.padEnd(20)} ${shorten(before[key])} → ${shorten(after[key])}`);
    if (!same) differing.push(name);
  }
  if (differing.length === 0) return;
  throw new AppError('RESTORE_FAILED', `After the restore these differ: ${differing.join(', ')}.`, {
    hint: 'This is a bug: please report it with the output above.',
  });
}

/** Tells the whole story and throws when anything did not come back exactly as it was. */
export async function tellStory(options: StoryOptions): Promise<void> {
  const { varve, app, print } = options;
  const before = await readFacts(app);
  print(`\n1. A business app is running. ${app.description}`);
  print(`   ${describe(before)}`);

  const added = await varve.addApp(newAppSchema.parse(app.newApp));
  const saved = added.components.map(({ kind, name }) => `${kind} ${name}`).join(', ');
  print(`\n2. Varve protects it as one thing: ${saved}.`);

  const snapshotJob = await varve.startSnapshot(added.id, { kind: 'manual', name: 'A good afternoon' }, 'demo');
  const snapshotId = (await finishJob(options, snapshotJob)).snapshotId;
  if (snapshotId === null) throw new AppError('INTERNAL', 'The snapshot job ended without a snapshot.');
  const { snapshot } = await varve.getSnapshot(added.id, snapshotId);
  print(
    `\n3. One snapshot holds all of it: ${snapshot.id.slice(0, 8)}, taken in ${formatDuration(snapshot.durationMs)}.`,
  );
  print(
    `   ${snapshot.files} files, ${formatBytes(snapshot.bytes)}, stored in ${formatBytes(snapshot.bytesAdded)}, encrypted.`,
  );

  await damage(app);
  print('\n4. Then the afternoon goes wrong: orders deleted, invoice files gone, a bad commit deployed.');
  print(`   ${describe(await readFacts(app))}`);

  const request = restoreRequestSchema.parse({ snapshotId });
  const plan = await varve.planRestore(added.id, request);
  print(`\n5. The plan of the restore, before anything is touched:`);
  for (const step of plan.steps) print(`   · ${describeStep(step)}`);

  const restoreJob = await varve.startRestore(added.id, { ...request, fingerprint: plan.fingerprint }, 'demo');
  const restored = await finishJob(options, restoreJob);
  print(`\n6. Restored in ${durationOf(restored)}. The proof, before → after:`);
  prove(options, before, await readFacts(app));
  print('   The damaged state is kept too: the safety snapshot is in the list.');
  await tellSecondStory({ ...options, appId: added.id, finishJob: (job) => finishJob(options, job) });
  print('\nEverything is back, and nothing was lost on the way.');
}

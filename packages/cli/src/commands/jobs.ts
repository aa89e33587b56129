// `varve jobs [JOB]`: the runs of everything that takes time, or one of them with its log; cancels one.

import { errorCodes, formatDuration } from '@varve/base';
import type { Job, JobDetails } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { wholeNumber } from '../options/numbers.ts';
import { factLines, tableLines } from '../output/table.ts';
import { printable } from '../output/text.ts';
import { absoluteTime, timeForPeople } from '../output/time.ts';

interface Options {
  readonly app?: string;
  readonly limit: number;
  readonly cancel?: boolean;
}

export const addJobsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('jobs')
    .description('list jobs, newest first, or show one with its log')
    .argument('[job]', 'id of a job')
    .option('--app <app>', 'only jobs of this app')
    .option('--limit <n>', 'how many at most', wholeNumber({ min: 1, max: 500 }), 20)
    .option('--cancel', 'ask the job to end')
    .addHelpText(
      'after',
      examples(
        ['What ran lately', 'varve jobs'],
        ['One job with its log', 'varve jobs JOB'],
        ['End it', 'varve jobs JOB --cancel'],
      ),
    );
  register(command, async (session) => {
    const { app, limit, cancel } = command.opts<Options>();
    const id = command.args[0];
    if (cancel && id === undefined)
      command.error('error: --cancel needs the id of a job', { exitCode: errorCodes.USAGE_INVALID.exit });
    await using varve = await session.openVarve();
    if (id === undefined) {
      const jobs = await varve.listJobs({ appId: app, limit });
      session.print(jobs, () => (jobs.length === 0 ? ['No jobs yet.'] : jobLines(jobs, session.now)));
      return;
    }
    if (cancel) await varve.cancelJob(id);
    const details = await varve.getJob(id);
    session.print(details, () => detailLines(details, session.now));
  });
};

function jobLines(jobs: readonly Job[], now: Date): string[] {
  return tableLines(
    [
      { title: 'JOB' },
      { title: 'TYPE' },
      { title: 'APP' },
      { title: 'STATE' },
      { title: 'STARTED' },
      { title: 'TOOK', align: 'right' },
      { title: 'BY' },
      { title: '' },
    ],
    jobs.map((job) => [
      job.id,
      job.type,
      job.appId ?? '-',
      job.state,
      timeForPeople(job.startedAt ?? job.createdAt, now),
      durationOf(job, now),
      job.requestedBy,
      job.error?.message ?? '',
    ]),
  );
}

function detailLines({ job, log }: JobDetails, now: Date): string[] {
  const facts: (readonly [string, string])[] = [
    ['Job', job.id],
    ['Type', job.type],
    ['App', job.appId ?? '-'],
    ['State', job.state],
    ['Asked by', job.requestedBy],
    ['Started', job.startedAt === null ? 'not yet' : timeForPeople(job.startedAt, now)],
    ['Took', durationOf(job, now)],
  ];
  if (job.snapshotId !== null) facts.push(['Snapshot', job.snapshotId]);
  if (job.error !== null) facts.push(['Error', `${job.error.message} [${job.error.code}]`]);
  if (job.error?.hint) facts.push(['Hint', job.error.hint]);
  return [
    ...factLines(facts),
    ...affectedFileLines(job),
    ...job.problems.map((problem) => `not saved: ${printable(problem.path)}: ${printable(problem.message)}`),
    ...log.map((line) => `${absoluteTime(line.time)} ${line.level.padEnd(7)} ${printable(line.message)}`),
  ];
}

/** What a check found damaged, as far as it is kept with the job. */
function affectedFileLines({ result }: Job): string[] {
  if (result?.type !== 'check') return [];
  const { affected, affectedCount } = result;
  const lines = affected.map(
    ({ path, snapshotId, reason }) => `damaged: ${printable(path)} (${snapshotId.slice(0, 8)}): ${printable(reason)}`,
  );
  return affectedCount > affected.length ? [...lines, `damaged: ${affectedCount} in all`] : lines;
}

function durationOf(job: Job, now: Date): string {
  if (job.startedAt === null) return '-';
  const end = job.finishedAt === null ? now.getTime() : Date.parse(job.finishedAt);
  return formatDuration(Math.max(0, end - Date.parse(job.startedAt)));
}

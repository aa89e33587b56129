// How one event of the server changes what the page knows: jobs and log lines are put in place, the rest is read again.

import type { QueryClient } from '@tanstack/react-query';
import type { Job, JobDetails, VarveEvent } from '@varve/contract';
import { jobLimit, keys } from './queries.ts';

const endStates: ReadonlySet<Job['state']> = new Set(['succeeded', 'partial', 'failed', 'cancelled']);

/** Whether a job is over. */
export function isEnded(job: Pick<Job, 'state'>): boolean {
  return endStates.has(job.state);
}

/** The list with the job in it: replaced where it is, put first when new. */
export function withJob(jobs: readonly Job[], job: Job): Job[] {
  const known = jobs.some(({ id }) => id === job.id);
  return known ? jobs.map((other) => (other.id === job.id ? job : other)) : [job, ...jobs].slice(0, jobLimit);
}

/** The details with the log line at its end, once. */
export function withLogLine(details: JobDetails, line: JobDetails['log'][number]): JobDetails {
  const repeated = details.log
    .slice(-50)
    .some((known) => known.time === line.time && known.message === line.message && known.level === line.level);
  return repeated ? details : { ...details, log: [...details.log, line] };
}

/** Applies an event to the cache. */
export function applyEvent(client: QueryClient, event: VarveEvent): void {
  switch (event.type) {
    case 'job':
      applyJob(client, event.job);
      break;
    case 'job-log':
      client.setQueryData<JobDetails>(keys.job(event.jobId), (known) => known && withLogLine(known, event.line));
      break;
    case 'app':
      reread(client, [keys.apps, keys.app(event.appId)]);
      break;
    case 'alerts':
      reread(client, [keys.alerts]);
      break;
  }
}

function applyJob(client: QueryClient, job: Job): void {
  const before = client.getQueryData<JobDetails>(keys.job(job.id));
  if (before !== undefined && isEnded(before.job) && !isEnded(job)) return;
  client.setQueryData<JobDetails>(keys.job(job.id), (known) => known && { ...known, job });
  client.setQueryData<Job[]>(keys.jobs, (known) => known && withJob(known, job));
  if (job.appId !== null) {
    client.setQueryData<Job[]>(keys.appJobs(job.appId), (known) => known && withJob(known, job));
  }
  const startedOrEnded = isEnded(job) || before === undefined || before.job.state !== job.state;
  if (startedOrEnded && job.appId !== null) reread(client, [keys.apps, keys.app(job.appId)]);
  if (isEnded(job)) reread(client, [keys.alerts, keys.repository, keys.sandboxes]);
}

function reread(client: QueryClient, wanted: readonly (readonly unknown[])[]): void {
  for (const queryKey of wanted) void client.invalidateQueries({ queryKey });
}

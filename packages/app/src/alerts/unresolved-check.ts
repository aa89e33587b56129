// Which failed check is still true: damage that one check found is not gone because another, which did not look there, found none.

import type { CheckScope, Job } from '@varve/contract';

function scopeOf({ result }: Job): CheckScope {
  return result?.type === 'check' ? result.scope : { data: 'none' };
}

/** Whether a check that read this has seen all that the other would have seen. */
function covers(read: CheckScope, wanted: CheckScope): boolean {
  if (wanted.data === 'none' || read.data === 'all') return true;
  return read.data === 'part' && wanted.data === 'part' && read.part === wanted.part && read.parts === wanted.parts;
}

/**
 * The newest failed check that no later one has refuted by reading at least as much and finding nothing; undefined when there is
 * none. `checks` are ended ones, the newest first. One that could not look at all is refuted by any.
 */
export function unresolvedCheck(checks: readonly Job[]): Job | undefined {
  const good: CheckScope[] = [];
  for (const job of checks) {
    if (job.state === 'succeeded') good.push(scopeOf(job));
    else if (job.state === 'failed' && !good.some((scope) => covers(scope, scopeOf(job)))) return job;
  }
  return undefined;
}

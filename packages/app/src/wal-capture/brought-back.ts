// Whether it was Varve itself that set a database back: then another history of its log is what was asked for, and no surprise.

import type { Job } from '@varve/contract';
import type { JobStore } from '../jobs/job-store.ts';
import type { RecoveryRecords } from '../recovery/recovery-records.ts';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';

export interface BroughtBackSources {
  readonly jobs: Pick<JobStore, 'list'>;
  readonly recoveries: Pick<RecoveryRecords, 'list'>;
}

/** Jobs of an app that are looked at, the newest first. */
const jobLimit = 20;

/**
 * When a restore or a recovery in place last put this database back, in ISO format; undefined when none did since `since`, the last
 * moment at which the old history was seen whole.
 */
export async function broughtBackAt(
  { jobs, recoveries }: BroughtBackSources,
  { appId, component, since }: WalOwner & { readonly since: string },
): Promise<string | undefined> {
  const records = await recoveries.list();
  const isAtWork = records.some(
    (record) => record.purpose === 'work' && record.appId === appId && record.component === component,
  );
  const job = (await jobs.list({ appId, limit: jobLimit })).find(
    (one) => isReturn(one, component, isAtWork) && (one.finishedAt === null || one.finishedAt >= since),
  );
  return job && (job.finishedAt ?? job.startedAt ?? job.createdAt);
}

function isReturn({ type, state, startedAt, result }: Job, component: string, isAtWork: boolean): boolean {
  if (startedAt === null) return false;
  if (type === 'restore') return true;
  if (type !== 'recovery') return false;
  if (state === 'running') return isAtWork;
  return result?.type === 'recovery' && result.component === component && !result.sandbox && result.folder === null;
}

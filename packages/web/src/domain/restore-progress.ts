// Which step of a shown plan a running restore is at. The job tells `progress.step`; the plan was shown before.

import type { AppSnapshot, Job, RestoreStep } from '@varve/contract';

export type StepState = 'done' | 'running' | 'waiting' | 'failed';

/** Every name under which a job may report a step of the plan. */
function namesOf(step: RestoreStep): readonly string[] {
  switch (step.type) {
    case 'restore-volume':
      return [`restore-volume:${step.component}`, `volume:${step.component}`];
    case 'restore-code':
      return [`restore-code:${step.component}`, `code:${step.component}`];
    case 'restore-database':
      return [`restore-database:${step.component}`, `database:${step.component}`];
    case 'stop-database':
    case 'start-database':
      return [`${step.type}:${step.component}`, step.type];
    default:
      return [step.type];
  }
}

/** Position of the step that runs, `undefined` when the name is not in the plan. */
export function runningIndex(steps: readonly RestoreStep[], stepName: string | undefined): number | undefined {
  if (stepName === undefined) return undefined;
  const index = steps.findIndex((step) => namesOf(step).includes(stepName));
  if (index !== -1) return index;
  const type = stepName.split(':')[0];
  const sameType = steps.findIndex((step) => step.type === type);
  return sameType === -1 ? undefined : sameType;
}

/** State of every step, from where the job is and how it ended. */
export function stepStates(
  steps: readonly RestoreStep[],
  job: { readonly state: string; readonly progress: { readonly step: string } | null },
): StepState[] {
  if (job.state === 'succeeded' || job.state === 'partial') return steps.map(() => 'done');
  const current = runningIndex(steps, job.progress?.step);
  const ended = job.state === 'failed' || job.state === 'cancelled';
  return steps.map((_, index) => {
    if (current === undefined || index > current) return 'waiting';
    if (index < current) return 'done';
    return ended ? 'failed' : 'running';
  });
}

/** The snapshot of the state before, taken by the restore itself: the one that undoes it. */
export function safetySnapshotOf(
  job: Pick<Job, 'startedAt' | 'finishedAt'>,
  snapshots: readonly AppSnapshot[],
): AppSnapshot | undefined {
  if (job.startedAt === null || job.finishedAt === null) return undefined;
  const from = Date.parse(job.startedAt);
  const to = Date.parse(job.finishedAt);
  return snapshots.find(
    ({ kind, time }) => kind === 'pre-restore' && Date.parse(time) >= from && Date.parse(time) <= to,
  );
}

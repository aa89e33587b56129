// The plan of a recovery in plain words.

import type { RecoveryPlan } from '@varve/contract';
import type { Format } from '../i18n/format.ts';
import type { Translate } from '../i18n/messages.ts';
import type { StepText } from './labels.ts';

type Step = RecoveryPlan['steps'][number];

export function recoveryStepText(step: Step, t: Translate, format: Format): StepText {
  switch (step.type) {
    case 'restore-base':
      return {
        title: t('recover.step.restore-base'),
        detail: [step.snapshotId.slice(0, 8), format.bytes(step.bytes), step.target].join(' · '),
      };
    case 'replay-wal':
      return {
        title: t('recover.step.replay-wal'),
        detail: [
          t('recover.segments', { count: step.segments }),
          format.bytes(step.bytes),
          `${step.fromLsn} – ${step.toLsn}`,
        ].join(' · '),
      };
    case 'pause':
    case 'promote':
    case 'shut-down':
      return { title: t(`recover.step.${step.type}`), detail: '' };
    case 'swap-data':
      return { title: t('recover.step.swap-data'), detail: step.dataDirectory };
    case 'safety-snapshot':
      return { title: t('step.safety-snapshot'), detail: '' };
    case 'stop-containers':
    case 'start-containers':
      return { title: t(`step.${step.type}`, { count: step.containers.length }), detail: format.list(step.containers) };
    case 'run-stop-command':
    case 'run-start-command':
      return { title: t(`step.${step.type}`), detail: step.command };
    case 'stop-database':
      return { title: t('step.stop-database', { component: step.component }), detail: step.dataDirectory };
    case 'start-database':
      return { title: t('step.start-database', { component: step.component }), detail: '' };
    case 'wait-healthy':
      return { title: t('step.wait-healthy'), detail: format.list(step.containers) };
  }
}

/** What it means. Where numbers of the host matter, the server's own words. */
export function recoveryWarningText({ code, message }: RecoveryPlan['warnings'][number], t: Translate): string {
  switch (code) {
    case 'newer-data-lost':
    case 'database-only':
    case 'no-safety-snapshot':
    case 'other-image':
      return t(`recover.warningText.${code}`);
    default:
      return message;
  }
}

export function recoveryWarningTitle(
  { code, subject }: RecoveryPlan['warnings'][number],
  plan: RecoveryPlan,
  t: Translate,
  format: Format,
): string {
  switch (code) {
    case 'newer-data-lost':
      return t('recover.warning.newer-data-lost', {
        time: plan.stop.lastCommitAt === null ? plan.stop.lsn : format.moment(plan.stop.lastCommitAt),
      });
    case 'no-safety-snapshot':
      return t('warning.no-safety-snapshot');
    case 'other-version':
      return t('warning.other-version', { subject });
    case 'low-space':
      return t('warning.low-space', { subject });
    default:
      return t(`recover.warning.${code}`, { subject });
  }
}

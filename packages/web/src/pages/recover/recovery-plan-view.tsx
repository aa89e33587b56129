// The plan of a recovery: warnings first, then what will be there and what will not, then the steps in their order.

import type { RecoveryPlan } from '@varve/contract';
import { Camera, Database, HeartPulse, ListRestart, Pause, Play, Replace, Square } from 'lucide-react';
import type { LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { recoveryStepText, recoveryWarningText, recoveryWarningTitle } from '../../domain/recovery-text.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Notice } from '../../ui/notice.tsx';
import { Card, CardHeading, Facts } from '../../ui/surface.tsx';

const icons: Readonly<Record<RecoveryPlan['steps'][number]['type'], LucideIcon>> = {
  'safety-snapshot': Camera,
  'restore-base': Database,
  'replay-wal': ListRestart,
  pause: Pause,
  promote: Play,
  'shut-down': Square,
  'stop-containers': Square,
  'run-stop-command': Square,
  'stop-database': Square,
  'swap-data': Replace,
  'start-database': Play,
  'start-containers': Play,
  'run-start-command': Play,
  'wait-healthy': HeartPulse,
};

interface RecoveryPlanViewProps {
  readonly plan: RecoveryPlan;
  readonly updating: boolean;
}

export function RecoveryPlanView({ plan, updating }: RecoveryPlanViewProps): ReactNode {
  const { t, format } = useLocale();
  const { stop, base, wal, estimate } = plan;
  const moment = (time: string | null, none: string): string => (time === null ? none : format.moment(time));
  return (
    <div className={`flex flex-col gap-6 transition-opacity ${updating ? 'opacity-50' : ''}`} aria-busy={updating}>
      {plan.warnings.length > 0 && (
        <section aria-labelledby="warnings-title" className="flex flex-col gap-3">
          <h2 id="warnings-title" className="text-base font-semibold tracking-tight">
            {t('restore.before')}
          </h2>
          {plan.warnings.map((warning, index) => (
            <Notice key={index} tone="warning" title={recoveryWarningTitle(warning, plan, t, format)}>
              {recoveryWarningText(warning, t)}
            </Notice>
          ))}
        </section>
      )}
      <Card className="p-5 sm:p-6" aria-labelledby="plan-title">
        <CardHeading id="plan-title">{t('restore.planTitle')}</CardHeading>
        <Facts
          className="mt-3 grid-cols-1 sm:grid-cols-2"
          items={[
            { label: t('recover.lastIn'), value: <strong>{moment(stop.lastCommitAt, t('recover.ofBase'))}</strong> },
            { label: t('recover.firstOut'), value: moment(stop.nextCommitAt, t('recover.none')) },
            { label: t('recover.base'), value: `${format.dateTime(base.time)} · ${base.snapshotId.slice(0, 8)}` },
            {
              label: t('recover.log'),
              value: `${t('recover.segments', { count: wal.segments })} · ${format.bytes(wal.bytes)}`,
            },
            {
              label: t('recover.takes'),
              value: t('recover.about', { time: format.duration(estimate.seconds * 1000) }),
            },
            { label: t('recover.space'), value: format.bytes(estimate.bytes) },
          ]}
        />
        <p className="mt-5 border-t border-line pt-4 text-sm text-ink-2">
          {t('restore.planText')}
          {plan.destination.type === 'in-place' && ` ${t('restore.offline')}`}
        </p>
        <ol className="mt-4">
          {plan.steps.map((step, index) => {
            const Icon = icons[step.type];
            const { title, detail } = recoveryStepText(step, t, format);
            const last = index === plan.steps.length - 1;
            return (
              <li key={index} className="relative flex gap-4 pb-5 last:pb-0">
                {!last && <span aria-hidden="true" className="absolute bottom-0 left-4 top-8 w-px bg-line" />}
                <span className="relative inline-flex size-8 shrink-0 items-center justify-center rounded-full border border-line bg-canvas">
                  <Icon size={16} aria-hidden="true" className="text-accent" />
                </span>
                <div className="min-w-0 pt-1">
                  <p className="font-medium">{title}</p>
                  {detail !== '' && <p className="numbers break-words text-sm text-ink-2">{detail}</p>}
                </div>
              </li>
            );
          })}
        </ol>
      </Card>
    </div>
  );
}

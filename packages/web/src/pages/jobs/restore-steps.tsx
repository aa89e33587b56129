// The steps of a running restore, as they were shown in its plan, each with its state.

import type { Job, RestoreStep } from '@varve/contract';
import { CircleCheck, CircleDashed, CircleX, LoaderCircle } from 'lucide-react';
import type { LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { stepText } from '../../domain/labels.ts';
import { stepStates } from '../../domain/restore-progress.ts';
import type { StepState } from '../../domain/restore-progress.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';

const looks: Readonly<Record<StepState, { icon: LucideIcon; look: string }>> = {
  done: { icon: CircleCheck, look: 'text-ok' },
  running: { icon: LoaderCircle, look: 'text-accent animate-spin' },
  waiting: { icon: CircleDashed, look: 'text-ink-2' },
  failed: { icon: CircleX, look: 'text-bad' },
};

export function RestoreSteps({ steps, job }: { readonly steps: readonly RestoreStep[]; readonly job: Job }): ReactNode {
  const { t, format } = useLocale();
  const states = stepStates(steps, job);
  return (
    <Card className="p-5 sm:p-6" aria-labelledby="steps-title">
      <CardHeading id="steps-title">{t('job.steps')}</CardHeading>
      <ol className="mt-2 flex flex-col gap-3">
        {steps.map((step, index) => {
          const state = states[index] ?? 'waiting';
          const { icon: Icon, look } = looks[state];
          const { title, detail } = stepText(step, t, format);
          return (
            <li
              key={index}
              {...(state === 'running' ? { 'aria-current': 'step' as const } : {})}
              className={`flex items-start gap-3 ${state === 'waiting' ? 'text-ink-2' : ''}`}
            >
              <Icon size={18} aria-hidden="true" className={`mt-0.5 shrink-0 ${look}`} />
              <div className="min-w-0">
                <p className={state === 'running' ? 'font-semibold' : ''}>
                  {title} <span className="sr-only">({t(`step.state.${state}`)})</span>
                </p>
                {detail !== '' && <p className="numbers break-words text-sm text-ink-2">{detail}</p>}
              </div>
            </li>
          );
        })}
      </ol>
    </Card>
  );
}

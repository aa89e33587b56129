// The plan in plain words: warnings first, then the steps in their order, with sizes.

import type { RestorePlan, RestoreStep } from '@varve/contract';
import { Camera, Database, FolderSync, GitBranch, HeartPulse, Play, Square } from 'lucide-react';
import type { LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { stepText, warningTitle } from '../../domain/labels.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Notice } from '../../ui/notice.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';

const stepIcons: Readonly<Record<RestoreStep['type'], LucideIcon>> = {
  'safety-snapshot': Camera,
  'stop-containers': Square,
  'run-stop-command': Square,
  'stop-database': Square,
  'restore-volume': FolderSync,
  'restore-code': GitBranch,
  'start-database': Play,
  'restore-database': Database,
  'start-containers': Play,
  'run-start-command': Play,
  'wait-healthy': HeartPulse,
};

/** Warnings whose title says all. */
const fullySaid: ReadonlySet<string> = new Set(['newer-data-lost', 'no-safety-snapshot']);

export function PlanSteps({ plan, updating }: { readonly plan: RestorePlan; readonly updating: boolean }): ReactNode {
  const { t, format } = useLocale();
  return (
    <div className={`flex flex-col gap-6 transition-opacity ${updating ? 'opacity-50' : ''}`} aria-busy={updating}>
      {plan.warnings.length > 0 && (
        <section aria-labelledby="warnings-title" className="flex flex-col gap-3">
          <h2 id="warnings-title" className="text-base font-semibold tracking-tight">
            {t('restore.before')}
          </h2>
          {plan.warnings.map((warning, index) => (
            <Notice key={index} tone="warning" title={warningTitle(warning, plan, t, format)}>
              {fullySaid.has(warning.code) ? undefined : warning.message}
            </Notice>
          ))}
        </section>
      )}
      <Card className="p-5 sm:p-6" aria-labelledby="plan-title">
        <CardHeading
          id="plan-title"
          action={
            <span className="numbers text-sm text-ink-2">
              {t('restore.putBack')}: {format.bytes(plan.bytes)} · {t('snapshot.fileCount', { count: plan.files })}
            </span>
          }
        >
          {t('restore.planTitle')}
        </CardHeading>
        <p className="text-sm text-ink-2">
          {t('restore.planText')} {t('restore.offline')}
        </p>
        <ol className="mt-5">
          {plan.steps.map((step, index) => {
            const Icon = stepIcons[step.type];
            const { title, detail } = stepText(step, t, format);
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

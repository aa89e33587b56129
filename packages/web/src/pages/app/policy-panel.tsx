// The policy in words: when, how, what is kept, when an alert opens.

import type { App, AppSnapshot } from '@varve/contract';
import { Pencil } from 'lucide-react';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { retentionRules } from '../../domain/retention.ts';
import { nextRuns, scheduleWords } from '../../domain/schedule.ts';
import { useLocale, useNow } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';
import { PolicyDialog } from './policy-dialog.tsx';
import { RetentionDialog } from './retention-dialog.tsx';

export function PolicyPanel({
  app,
  snapshots,
}: {
  readonly app: App;
  readonly snapshots: readonly AppSnapshot[];
}): ReactNode {
  const { t, format } = useLocale();
  const now = useNow();
  const [dialog, setDialog] = useState<'edit' | 'retention' | null>(null);
  const { schedule, retention, consistency, pointInTime, alertAfterHours } = app.policy;
  const runs = schedule.enabled ? nextRuns({ ...schedule, now, count: 3 }) : [];
  const kept = retentionRules
    .filter((rule) => retention[rule] > 0)
    .map((rule) => t(`policy.count.${rule}`, { count: retention[rule] }));
  return (
    <Card className="p-5" aria-labelledby="policy-title">
      <CardHeading
        id="policy-title"
        action={
          <Button look="quiet" className="-mr-3.5" aria-label={t('policy.edit')} onClick={() => setDialog('edit')}>
            <Pencil size={15} aria-hidden="true" />
            {t('action.edit')}
          </Button>
        }
      >
        {t('policy.title')}
      </CardHeading>
      <dl className="mt-2 flex flex-col gap-4">
        <Rule label={t('policy.schedule')}>
          {schedule.enabled ? (
            <>
              <span className="font-medium">{scheduleWords(schedule.cron, t, format)}</span>
              <span className="numbers block text-sm text-ink-2">
                <code className="text-[0.8125rem]">{schedule.cron}</code> · {schedule.timeZone}
              </span>
            </>
          ) : (
            <span className="font-medium text-warn">{t('policy.off')}</span>
          )}
        </Rule>
        {runs.length > 0 && (
          <Rule label={t('policy.nextRuns')}>
            <ul className="numbers text-sm">
              {runs.map((run) => (
                <li key={run.getTime()}>{format.when(run.getTime(), now)}</li>
              ))}
            </ul>
          </Rule>
        )}
        <Rule label={t('policy.consistency')}>{t(`consistency.${consistency}`)}</Rule>
        <Rule label={t('policy.retention')}>
          <span className="numbers block">{format.list(kept)}</span>
          <Button look="quiet" className="-ml-3.5 mt-1" onClick={() => setDialog('retention')}>
            {t('retention.open')}
          </Button>
        </Rule>
        {app.components.some((component) => component.kind === 'database' && component.wal === true) && (
          <Rule label={t('reach.title')}>
            <span className="numbers">{t('policy.window', { count: pointInTime.windowDays })}</span>
          </Rule>
        )}
        <Rule label={t('policy.alert')}>
          <span className="numbers">
            {t('policy.alertAfter')} {t('policy.alertHours', { count: alertAfterHours })}
          </span>
        </Rule>
      </dl>
      {dialog === 'edit' && <PolicyDialog app={app} snapshots={snapshots} onClose={() => setDialog(null)} />}
      {dialog === 'retention' && <RetentionDialog app={app} onClose={() => setDialog(null)} />}
    </Card>
  );
}

function Rule({ label, children }: { readonly label: string; readonly children: ReactNode }): ReactNode {
  return (
    <div>
      <dt className="text-xs text-ink-2">{label}</dt>
      <dd className="mt-0.5">{children}</dd>
    </div>
  );
}

// Alerts: what needs somebody now, and what did.

import { useQuery } from '@tanstack/react-query';
import type { Alert } from '@varve/contract';
import { CircleAlert, CircleCheck, TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';
import { queries } from '../api/queries.ts';
import { useLocale, useNow } from '../i18n/locale.tsx';
import { ButtonLink } from '../ui/button.tsx';
import { ProblemNotice } from '../ui/notice.tsx';
import { Card, Empty, PageHeading, Skeleton } from '../ui/surface.tsx';
import { DateTime } from '../ui/time.tsx';

export function AlertsPage(): ReactNode {
  const { t } = useLocale();
  const alerts = useQuery(queries.alerts());
  const newestFirst = (alerts.data ?? []).toSorted((a, b) => Date.parse(b.openedAt) - Date.parse(a.openedAt));
  const open = newestFirst.filter(({ closedAt }) => closedAt === null);
  const closed = newestFirst.filter(({ closedAt }) => closedAt !== null);
  return (
    <div>
      <PageHeading title={t('alerts.title')} text={t('alerts.text')} />
      {alerts.isPending && (
        <Card className="p-6">
          <Skeleton rows={3} label={t('loading')} />
        </Card>
      )}
      {alerts.isError && alerts.data === undefined && (
        <ProblemNotice problem={alerts.error} onRetry={() => void alerts.refetch()} />
      )}
      {alerts.data !== undefined && (
        <div className="flex flex-col gap-8">
          {open.length === 0 ? (
            <Card>
              <Empty title={t('alerts.none')} text={t('alerts.noneText')} />
            </Card>
          ) : (
            <AlertList title={t('alerts.open')} alerts={open} />
          )}
          {closed.length > 0 && <AlertList title={t('alerts.closed')} alerts={closed} />}
        </div>
      )}
    </div>
  );
}

function AlertList({ title, alerts }: { readonly title: string; readonly alerts: readonly Alert[] }): ReactNode {
  return (
    <section>
      <h2 className="mb-3 text-lg font-semibold tracking-tight">{title}</h2>
      <Card as="div">
        <ul className="divide-y divide-line">
          {alerts.map((alert) => (
            <AlertRow key={alert.id} alert={alert} />
          ))}
        </ul>
      </Card>
    </section>
  );
}

function AlertRow({ alert }: { readonly alert: Alert }): ReactNode {
  const { t, format } = useLocale();
  const now = useNow();
  const apps = useQuery(queries.apps());
  const appName = apps.data?.find(({ app }) => app.id === alert.appId)?.app.name ?? alert.appId;
  const title = t(`alert.${alert.code}`);
  const lastedMs = alert.closedAt === null ? null : Date.parse(alert.closedAt) - Date.parse(alert.openedAt);
  return (
    <li className="flex flex-wrap items-start gap-x-4 gap-y-3 px-5 py-4 sm:px-6">
      <AlertIcon alert={alert} />
      <div className="min-w-0 flex-1 basis-64">
        <p className="font-semibold">{appName === null ? title : t('alert.of', { alert: title, app: appName })}</p>
        <p className="text-sm text-ink-2">{alert.message}</p>
        <p className="numbers mt-1.5 text-xs text-ink-2">
          {lastedMs === null ? (
            t('alerts.since', { time: format.dateTime(alert.openedAt) })
          ) : (
            <>
              <DateTime at={alert.openedAt} /> · {t('alerts.lasted', { duration: format.duration(lastedMs) })}
            </>
          )}
          {' · '}
          {alert.notifiedAt === null
            ? t('alerts.notNotified')
            : t('alerts.notified', { ago: format.relative(alert.notifiedAt, now) })}
        </p>
        {alert.notifyProblem !== null && (
          <p className="mt-1 text-xs text-bad">{t('alerts.notifyProblem', { problem: alert.notifyProblem })}</p>
        )}
      </div>
      {alert.appId !== null && (
        <ButtonLink to="/apps/$appId" params={{ appId: alert.appId }}>
          {t('job.openApp')}
        </ButtonLink>
      )}
    </li>
  );
}

function AlertIcon({ alert }: { readonly alert: Alert }): ReactNode {
  if (alert.closedAt !== null) return <CircleCheck size={20} aria-hidden="true" className="mt-0.5 shrink-0 text-ok" />;
  if (alert.code === 'job-failed' || alert.code === 'no-backup') {
    return <CircleAlert size={20} aria-hidden="true" className="mt-0.5 shrink-0 text-bad" />;
  }
  return <TriangleAlert size={20} aria-hidden="true" className="mt-0.5 shrink-0 text-warn" />;
}

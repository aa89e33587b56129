// Every run, newest first, with a filter.

import { useQuery } from '@tanstack/react-query';
import { Link, useSearch } from '@tanstack/react-router';
import type { Job } from '@varve/contract';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { isEnded } from '../api/apply-event.ts';
import { queries } from '../api/queries.ts';
import { jobTitle, progressFraction, requesterText } from '../domain/labels.ts';
import { useLocale } from '../i18n/locale.tsx';
import { Button } from '../ui/button.tsx';
import { ProblemNotice } from '../ui/notice.tsx';
import { ProgressBar } from '../ui/progress.tsx';
import { JobStateChip } from '../ui/state.tsx';
import { Card, Empty, PageHeading, Skeleton } from '../ui/surface.tsx';
import { Ago, DateTime } from '../ui/time.tsx';

const pageSize = 25;

type Filter = 'all' | 'active' | 'failed';
const filters: readonly Filter[] = ['all', 'active', 'failed'];

function passes(job: Job, filter: Filter): boolean {
  if (filter === 'active') return !isEnded(job);
  if (filter === 'failed') return job.state === 'failed' || job.state === 'partial';
  return true;
}

export function JobsPage(): ReactNode {
  const { t } = useLocale();
  const search: { app?: string } = useSearch({ strict: false });
  const appId = search.app;
  const jobs = useQuery(queries.jobs(appId));
  const apps = useQuery(queries.apps());
  const [filter, setFilter] = useState<Filter>('all');
  const names = new Map(apps.data?.map(({ app }) => [app.id, app.name]));
  const [shownCount, setShownCount] = useState(pageSize);
  const matching = (jobs.data ?? []).filter((job) => passes(job, filter));
  const shown = matching.slice(0, shownCount);
  const left = matching.length - shown.length;
  return (
    <div>
      <PageHeading
        title={t('jobs.title')}
        text={t('jobs.text')}
        {...(appId === undefined
          ? {}
          : { back: { link: { to: '/apps/$appId', params: { appId } }, label: names.get(appId) ?? appId } })}
        actions={<FilterButtons filter={filter} onChange={setFilter} />}
      />
      <Card className="overflow-hidden">
        {jobs.isPending && (
          <div className="p-6">
            <Skeleton rows={4} label={t('loading')} />
          </div>
        )}
        {jobs.isError && jobs.data === undefined && (
          <ProblemNotice problem={jobs.error} onRetry={() => void jobs.refetch()} className="m-5" />
        )}
        {jobs.data?.length === 0 && <Empty title={t('jobs.empty')} text={t('jobs.emptyText')} />}
        {jobs.data !== undefined && jobs.data.length > 0 && shown.length === 0 && (
          <p className="p-6 text-ink-2">{t('jobs.noneMatch')}</p>
        )}
        <ul className="divide-y divide-line">
          {shown.map((job) => (
            <JobRow key={job.id} job={job} appName={job.appId === null ? undefined : names.get(job.appId)} />
          ))}
        </ul>
        {left > 0 && (
          <div className="border-t border-line p-3 text-center">
            <Button look="quiet" onClick={() => setShownCount(shownCount + pageSize * 2)}>
              {t('snapshot.more', { count: Math.min(left, pageSize * 2) })}
            </Button>
          </div>
        )}
      </Card>
    </div>
  );
}

function FilterButtons({ filter, onChange }: { filter: Filter; onChange: (filter: Filter) => void }): ReactNode {
  const { t } = useLocale();
  return (
    <div
      role="group"
      aria-label={t('jobs.filter')}
      className="inline-flex rounded-lg border border-line bg-sunken p-0.5"
    >
      {filters.map((option) => (
        <button
          key={option}
          type="button"
          aria-pressed={filter === option}
          onClick={() => onChange(option)}
          className="min-h-8 rounded-md px-3 text-sm text-ink-2 hover:text-ink aria-pressed:bg-surface aria-pressed:font-medium aria-pressed:text-ink aria-pressed:shadow-card"
        >
          {t(`jobs.${option}`)}
        </button>
      ))}
    </div>
  );
}

function JobRow({ job, appName }: { readonly job: Job; readonly appName: string | undefined }): ReactNode {
  const { t, format } = useLocale();
  const durationMs =
    job.startedAt !== null && job.finishedAt !== null ? Date.parse(job.finishedAt) - Date.parse(job.startedAt) : null;
  return (
    <li className="relative grid items-center gap-x-6 gap-y-2 px-5 py-3.5 transition-colors hover:bg-sunken/50 sm:grid-cols-[minmax(0,1fr)_9rem_auto] sm:px-6">
      <div className="min-w-0">
        <Link to="/jobs/$jobId" params={{ jobId: job.id }} className="rounded font-medium after:absolute after:inset-0">
          {jobTitle(job, appName, t)}
        </Link>
        <p className="numbers text-sm text-ink-2">
          <DateTime at={job.createdAt} /> · <Ago at={job.createdAt} /> · {requesterText(job.requestedBy, t)}
        </p>
        {job.error !== null && <p className="mt-0.5 line-clamp-2 text-sm text-bad">{job.error.message}</p>}
      </div>
      <div className="flex items-center justify-between gap-4 sm:contents">
        <div className="numbers flex-1 text-sm text-ink-2 max-sm:order-2 max-sm:text-right sm:text-right">
          {isEnded(job) ? (
            durationMs !== null && format.duration(durationMs)
          ) : (
            <ProgressBar fraction={progressFraction(job)} label={t('job.progress')} />
          )}
        </div>
        <div className="sm:justify-self-end">
          <JobStateChip state={job.state} />
        </div>
      </div>
    </li>
  );
}

// The newest jobs of an app.

import type { UseQueryResult } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { Job } from '@varve/contract';
import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { Card, CardHeading, Skeleton } from '../../ui/surface.tsx';
import { JobStateChip } from '../../ui/state.tsx';
import { Ago } from '../../ui/time.tsx';

const shownJobs = 6;

export function RecentJobs({
  appId,
  query,
}: {
  readonly appId: string;
  readonly query: UseQueryResult<Job[]>;
}): ReactNode {
  const { t } = useLocale();
  const jobs = (query.data ?? []).slice(0, shownJobs);
  return (
    <Card className="p-5" aria-labelledby="jobs-title">
      <CardHeading
        id="jobs-title"
        action={
          <Link
            to="/jobs"
            search={{ app: appId } as never}
            className="rounded text-sm font-medium text-accent hover:underline"
          >
            {t('appPage.allJobs')}
          </Link>
        }
      >
        {t('appPage.recentJobs')}
      </CardHeading>
      {query.isPending && <Skeleton rows={3} label={t('loading')} />}
      {query.data !== undefined && jobs.length === 0 && (
        <p className="mt-2 text-sm text-ink-2">{t('appPage.noJobs')}</p>
      )}
      <ul className="mt-2 flex flex-col">
        {jobs.map((job) => (
          <li key={job.id}>
            <Link
              to="/jobs/$jobId"
              params={{ jobId: job.id }}
              className="-mx-2 flex items-center justify-between gap-3 rounded-md px-2 py-2 text-sm hover:bg-sunken"
            >
              <span className="min-w-0">
                <span className="block font-medium">{t(`job.type.${job.type}`)}</span>
                <Ago at={job.finishedAt ?? job.createdAt} className="text-ink-2" />
              </span>
              <JobStateChip state={job.state} />
            </Link>
          </li>
        ))}
      </ul>
    </Card>
  );
}

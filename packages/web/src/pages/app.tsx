// An app: how well it is protected, its timeline, its snapshots, its policy, its recent jobs.

import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import type { AppOverview } from '@varve/contract';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { jobLimit, queries } from '../api/queries.ts';
import { layoutTimeline } from '../domain/timeline.ts';
import { useLocale, useNow } from '../i18n/locale.tsx';
import { ProblemNotice } from '../ui/notice.tsx';
import { Card, Skeleton } from '../ui/surface.tsx';
import { AppHeader } from './app/app-header.tsx';
import { ComponentPanel } from './app/component-panel.tsx';
import { PointInTime } from './app/point-in-time.tsx';
import { PolicyPanel } from './app/policy-panel.tsx';
import { RecentJobs } from './app/recent-jobs.tsx';
import { Sandboxes } from './app/sandboxes.tsx';
import { SnapshotList } from './app/snapshot-list.tsx';
import { Timeline } from './app/timeline.tsx';
import { RunningJob } from './jobs/running-job.tsx';

const timelineDays = 30;

export function AppPage(): ReactNode {
  const { t } = useLocale();
  const { appId } = useParams({ from: '/apps/$appId' });
  const overview = useQuery(queries.app(appId));
  if (overview.isError && overview.data === undefined) {
    return <ProblemNotice problem={overview.error} onRetry={() => void overview.refetch()} />;
  }
  if (overview.data === undefined) {
    return (
      <Card className="p-6">
        <Skeleton rows={4} label={t('loading')} />
      </Card>
    );
  }
  return <LoadedApp key={appId} overview={overview.data} />;
}

function LoadedApp({ overview }: { readonly overview: AppOverview }): ReactNode {
  const now = useNow();
  const { app, protection } = overview;
  const snapshots = useQuery(queries.snapshots(app.id));
  const jobs = useQuery(queries.jobs(app.id));
  const [dayKey, setDayKey] = useState<string | null>(null);
  const days = layoutTimeline({
    snapshots: snapshots.data ?? [],
    jobs: jobs.data ?? [],
    jobsComplete: (jobs.data?.length ?? 0) < jobLimit,
    scheduled: app.policy.schedule.enabled,
    appCreatedAt: app.createdAt,
    now,
    days: timelineDays,
  });
  const day = days.find(({ key }) => key === dayKey);
  return (
    <div>
      <AppHeader overview={overview} />
      {protection.runningJobId !== null && (
        <Card className="mb-6 p-5 sm:p-6">
          <RunningJob jobId={protection.runningJobId} />
        </Card>
      )}
      {protection.level === 'failing' && protection.failure !== null && (
        <ProblemNotice problem={protection.failure} className="mb-6" />
      )}
      <Timeline days={days} selected={dayKey} onSelect={setDayKey} loading={snapshots.isPending || jobs.isPending} />
      <PointInTime app={app} />
      <Sandboxes app={app} />
      <div className="mt-6 grid items-start gap-6 lg:grid-cols-[minmax(0,1fr)_20rem]">
        <SnapshotList app={app} query={snapshots} day={day} onShowAll={() => setDayKey(null)} />
        <div className="flex flex-col gap-6">
          <PolicyPanel app={app} snapshots={snapshots.data ?? []} />
          <ComponentPanel app={app} />
          <RecentJobs appId={app.id} query={jobs} />
        </div>
      </div>
    </div>
  );
}

// What pages read, by cache key. The event stream keeps these fresh; they are read again when it was interrupted.

import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';
import { api } from './client.ts';

/** How many jobs a page asks for at most. */
export const jobLimit = 200;

export const keys = {
  session: ['session'],
  apps: ['apps'],
  app: (id: string) => ['app', id],
  snapshots: (id: string) => ['app', id, 'snapshots'],
  snapshot: (id: string, snapshotId: string) => ['app', id, 'snapshots', snapshotId],
  snapshotFolder: (id: string, snapshotId: string, path: string) => ['snapshot-folder', id, snapshotId, path],
  retention: (id: string) => ['app', id, 'retention'],
  timeline: (id: string, days: number) => ['app', id, 'timeline', days],
  captures: (id: string) => ['app', id, 'wal'],
  sandboxes: ['sandboxes'],
  jobs: ['jobs'],
  appJobs: (id: string) => ['jobs', id],
  job: (id: string) => ['job', id],
  alerts: ['alerts'],
  openAlerts: ['alerts', 'open'],
  repository: ['repository'],
  maintenance: ['repository', 'maintenance'],
  prunePreview: ['prune-preview'],
  settings: ['settings'],
  doctor: ['doctor'],
  discovery: ['discovery'],
} as const;

/** One type for both, so that a page may choose between them. */
function jobsKey(appId: string | undefined): readonly string[] {
  return appId === undefined ? keys.jobs : keys.appJobs(appId);
}

export const queries = {
  session: () => queryOptions({ queryKey: keys.session, queryFn: (o) => api.session(o), staleTime: 60_000 }),
  apps: () => queryOptions({ queryKey: keys.apps, queryFn: (o) => api.apps(o) }),
  app: (id: string) => queryOptions({ queryKey: keys.app(id), queryFn: (o) => api.app(id, o) }),
  snapshots: (id: string) => queryOptions({ queryKey: keys.snapshots(id), queryFn: (o) => api.snapshots(id, o) }),
  snapshot: (id: string, snapshotId: string) =>
    queryOptions({
      queryKey: keys.snapshot(id, snapshotId),
      queryFn: (o) => api.snapshot(id, snapshotId, o),
      staleTime: 300_000,
    }),
  /** A snapshot never changes: what was read of it is read once. */
  snapshotFolder: (id: string, snapshotId: string, path: string) =>
    infiniteQueryOptions({
      queryKey: keys.snapshotFolder(id, snapshotId, path),
      queryFn: ({ pageParam, signal }) => api.snapshotFolder(id, snapshotId, { path, offset: pageParam }, { signal }),
      initialPageParam: 0,
      getNextPageParam: ({ total }, pages) => {
        const read = pages.reduce((sum, { entries }) => sum + entries.length, 0);
        return read < total ? read : undefined;
      },
      staleTime: 300_000,
    }),
  retention: (id: string) =>
    queryOptions({ queryKey: keys.retention(id), queryFn: (o) => api.retention(id, o), gcTime: 0 }),
  /** The last so many days. The log moves on without events: it is read again while it is looked at. */
  timeline: (id: string, days: number) =>
    queryOptions({
      queryKey: keys.timeline(id, days),
      queryFn: (o) => api.timeline(id, { from: new Date(Date.now() - days * 86_400_000).toISOString() }, o),
      refetchInterval: 15_000,
    }),
  captures: (id: string) =>
    queryOptions({ queryKey: keys.captures(id), queryFn: (o) => api.captures(id, o), refetchInterval: 15_000 }),
  /** Of all apps. A server that stops tells nobody: they are read again while they are looked at. */
  sandboxes: () =>
    queryOptions({ queryKey: keys.sandboxes, queryFn: (o) => api.sandboxes(o), refetchInterval: 15_000 }),
  /** Of one app, or of all. */
  jobs: (appId?: string) =>
    queryOptions({
      queryKey: jobsKey(appId),
      queryFn: (o) => api.jobs(appId === undefined ? { limit: jobLimit } : { appId, limit: jobLimit }, o),
    }),
  job: (id: string) => queryOptions({ queryKey: keys.job(id), queryFn: (o) => api.job(id, o) }),
  alerts: () => queryOptions({ queryKey: keys.alerts, queryFn: (o) => api.alerts(o) }),
  openAlerts: () => queryOptions({ queryKey: keys.openAlerts, queryFn: (o) => api.openAlerts(o) }),
  repository: () => queryOptions({ queryKey: keys.repository, queryFn: (o) => api.repository(o) }),
  maintenance: () => queryOptions({ queryKey: keys.maintenance, queryFn: (o) => api.maintenance(o) }),
  prunePreview: () =>
    queryOptions({ queryKey: keys.prunePreview, queryFn: (o) => api.previewPrune(o), gcTime: 0, staleTime: 0 }),
  settings: () => queryOptions({ queryKey: keys.settings, queryFn: (o) => api.settings(o) }),
  doctor: () => queryOptions({ queryKey: keys.doctor, queryFn: (o) => api.doctor(o), staleTime: 60_000 }),
  discovery: () => queryOptions({ queryKey: keys.discovery, queryFn: (o) => api.discover(o), staleTime: 30_000 }),
};

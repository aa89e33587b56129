// The addresses of the pages.

import { createRootRoute, createRoute, createRouter } from '@tanstack/react-router';
import { AddAppPage } from '../pages/add-app.tsx';
import { AlertsPage } from '../pages/alerts.tsx';
import { AppPage } from '../pages/app.tsx';
import { AppsPage } from '../pages/apps.tsx';
import { JobPage } from '../pages/job.tsx';
import { JobsPage } from '../pages/jobs.tsx';
import { ErrorPage, NotFoundPage } from '../pages/problems.tsx';
import { RecoverPage } from '../pages/recover.tsx';
import { RestorePage } from '../pages/restore.tsx';
import { SettingsPage } from '../pages/settings.tsx';
import { SnapshotPage } from '../pages/snapshot.tsx';
import { Root } from './root.tsx';

const root = createRootRoute({ component: Root, notFoundComponent: NotFoundPage });

const child = <const Path extends string>(path: Path, component: () => React.ReactNode) =>
  createRoute({ getParentRoute: () => root, path, component });

const routeTree = root.addChildren([
  child('/', AppsPage),
  child('/apps/add', AddAppPage),
  child('/apps/$appId', AppPage),
  child('/apps/$appId/snapshots/$snapshotId', SnapshotPage),
  child('/apps/$appId/snapshots/$snapshotId/restore', RestorePage),
  child('/apps/$appId/recover', RecoverPage),
  child('/jobs', JobsPage),
  child('/jobs/$jobId', JobPage),
  child('/alerts', AlertsPage),
  child('/settings', SettingsPage),
]);

export const router = createRouter({
  routeTree,
  defaultErrorComponent: ErrorPage,
  defaultNotFoundComponent: NotFoundPage,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}

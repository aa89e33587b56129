// One snapshot: when, what kind, what it holds, what is missing, and how to bring it back.

import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import type { SnapshotDetails } from '@varve/contract';
import { RotateCcw } from 'lucide-react';
import type { ReactNode } from 'react';
import { queries } from '../api/queries.ts';
import { shortId } from '../domain/labels.ts';
import { useLocale } from '../i18n/locale.tsx';
import { ButtonLink } from '../ui/button.tsx';
import { Notice, ProblemNotice } from '../ui/notice.tsx';
import { Card, CardHeading, Facts, PageHeading, Skeleton } from '../ui/surface.tsx';
import { Ago } from '../ui/time.tsx';
import { Coverage } from './app/coverage.tsx';
import { KindMark } from './app/kind-mark.tsx';
import { FileBrowser } from './snapshot/file-browser.tsx';
import { SavedComponentCard } from './snapshot/saved-component.tsx';

export function SnapshotPage(): ReactNode {
  const { t } = useLocale();
  const { appId, snapshotId } = useParams({ from: '/apps/$appId/snapshots/$snapshotId' });
  const details = useQuery(queries.snapshot(appId, snapshotId));
  if (details.isError && details.data === undefined) {
    return <ProblemNotice problem={details.error} onRetry={() => void details.refetch()} />;
  }
  if (details.data === undefined) {
    return (
      <Card className="p-6">
        <Skeleton rows={4} label={t('loading')} />
      </Card>
    );
  }
  return <LoadedSnapshot details={details.data} />;
}

function LoadedSnapshot({ details }: { readonly details: SnapshotDetails }): ReactNode {
  const { snapshot, manifest } = details;
  const { t, format } = useLocale();
  const kind = t(`kind.${snapshot.kind}`);
  return (
    <div className="flex flex-col gap-6">
      <div className="-mb-6">
        <PageHeading
          back={{ link: { to: '/apps/$appId', params: { appId: snapshot.appId } }, label: manifest.app.name }}
          title={snapshot.name ?? <span className="numbers">{format.dateTime(snapshot.time)}</span>}
          text={
            <p className="numbers flex flex-wrap items-center gap-x-2">
              <KindMark kind={snapshot.kind} />
              {kind}
              {snapshot.name !== null && <> · {format.dateTime(snapshot.time)}</>} · <Ago at={snapshot.time} />
            </p>
          }
          actions={
            <ButtonLink
              look="primary"
              to="/apps/$appId/snapshots/$snapshotId/restore"
              params={{ appId: snapshot.appId, snapshotId: snapshot.id }}
            >
              <RotateCcw size={16} aria-hidden="true" />
              {t('snapshot.restore')}
            </ButtonLink>
          }
        />
      </div>
      {snapshot.partial && (
        <Notice tone="warning" title={t('snapshot.partial')}>
          {t('snapshot.partialText', { count: manifest.problems.length })}
        </Notice>
      )}
      <Card className="p-5 sm:p-6">
        {snapshot.description !== null && (
          <p className="mb-5 max-w-prose whitespace-pre-wrap">{snapshot.description}</p>
        )}
        <Facts
          className="grid-cols-2 sm:grid-cols-3 lg:grid-cols-5"
          items={[
            { label: t('snapshot.size'), value: format.bytes(snapshot.bytes) },
            { label: t('snapshot.added'), value: format.bytes(snapshot.bytesAdded) },
            { label: t('snapshot.files'), value: format.number(snapshot.files) },
            { label: t('snapshot.took'), value: format.duration(snapshot.durationMs) },
            { label: t('snapshot.consistency'), value: t(`consistency.${manifest.consistency}`) },
          ]}
        />
        <div className="mt-5">
          <Coverage
            saved={manifest.components.map((component) => component.kind)}
            expected={manifest.app.components.map((component) => component.kind)}
          />
        </div>
      </Card>
      <div className="grid items-start gap-6 lg:grid-cols-2">
        {manifest.components.map((component) => (
          <SavedComponentCard key={`${component.kind}:${component.name}`} component={component} />
        ))}
      </div>
      <FileBrowser snapshot={snapshot} />
      {manifest.problems.length > 0 && (
        <Card className="p-5 sm:p-6">
          <CardHeading>{t('snapshot.problems')}</CardHeading>
          <ul className="mt-2 flex flex-col gap-2 text-sm">
            {manifest.problems.map(({ path, message }, index) => (
              <li key={index}>
                <span className="break-all font-mono text-[0.8125rem]">{path}</span>
                <span className="block text-ink-2">{message}</span>
              </li>
            ))}
          </ul>
        </Card>
      )}
      <Card className="p-5 sm:p-6">
        <CardHeading>{t('snapshot.restic')}</CardHeading>
        <p className="text-sm text-ink-2">{t('snapshot.resticText')}</p>
        <pre
          tabIndex={0}
          aria-label={t('snapshot.restic')}
          className="mt-3 overflow-x-auto rounded-lg bg-sunken px-4 py-3 text-[0.8125rem] leading-6"
        >
          {`restic ls ${shortId(snapshot.id)}\nrestic restore ${shortId(snapshot.id)} --target ./${snapshot.appId}`}
        </pre>
        <p className="mt-3 break-all font-mono text-xs text-ink-2">{snapshot.id}</p>
        <p className="mt-1 text-xs text-ink-2">{t('snapshot.version', { version: manifest.varveVersion })}</p>
      </Card>
    </div>
  );
}

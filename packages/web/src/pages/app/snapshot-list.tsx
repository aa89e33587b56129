// The snapshots of an app, newest first: a table where there is room, cards where there is not.

import type { UseQueryResult } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { App, AppSnapshot, Component } from '@varve/contract';
import { GitCommitHorizontal, RotateCcw, TriangleAlert, X } from 'lucide-react';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { shortCommit } from '../../domain/labels.ts';
import type { TimelineDay } from '../../domain/timeline.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button, ButtonLink } from '../../ui/button.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { Card, CardHeading, Empty, Skeleton } from '../../ui/surface.tsx';
import { Ago, DateTime } from '../../ui/time.tsx';
import { Coverage } from './coverage.tsx';
import { KindMark } from './kind-mark.tsx';

const pageSize = 10;

interface SnapshotListProps {
  readonly app: App;
  readonly query: UseQueryResult<AppSnapshot[]>;
  /** Only this day's when one is chosen in the timeline. */
  readonly day: TimelineDay | undefined;
  readonly onShowAll: () => void;
}

export function SnapshotList({ app, query, day, onShowAll }: SnapshotListProps): ReactNode {
  const { t, format } = useLocale();
  const [shownCount, setShownCount] = useState(pageSize);
  const newestFirst = (day?.snapshots ?? query.data ?? []).toSorted((a, b) => Date.parse(b.time) - Date.parse(a.time));
  const shown = newestFirst.slice(0, shownCount);
  const left = newestFirst.length - shown.length;
  return (
    <Card aria-labelledby="snapshots-title" className="min-w-0">
      <div className="px-5 pt-4 sm:px-6">
        <CardHeading
          id="snapshots-title"
          action={
            day && (
              <Button look="quiet" className="-mr-3.5" onClick={onShowAll}>
                <X size={15} aria-hidden="true" />
                {t('snapshot.onDay', { day: format.dayLong(`${day.key}T12:00:00`) })}
              </Button>
            )
          }
        >
          {t('snapshot.list')}
        </CardHeading>
      </div>
      {query.isPending && (
        <div className="p-6">
          <Skeleton rows={4} label={t('loading')} />
        </div>
      )}
      {query.isError && query.data === undefined && (
        <ProblemNotice problem={query.error} onRetry={() => void query.refetch()} className="m-5" />
      )}
      {query.data !== undefined && shown.length === 0 && (
        <Empty title={t('snapshot.listEmpty')} {...(day === undefined ? { text: t('snapshot.listEmptyText') } : {})} />
      )}
      {shown.length > 0 && (
        <ul className="mt-2 divide-y divide-line">
          {shown.map((snapshot) => (
            <SnapshotRow key={snapshot.id} app={app} snapshot={snapshot} />
          ))}
        </ul>
      )}
      {left > 0 && (
        <div className="border-t border-line p-3 text-center">
          <Button look="quiet" onClick={() => setShownCount(shownCount + pageSize * 2)}>
            {t('snapshot.more', { count: Math.min(left, pageSize * 2) })}
          </Button>
        </div>
      )}
    </Card>
  );
}

function SnapshotRow({ app, snapshot }: { readonly app: App; readonly snapshot: AppSnapshot }): ReactNode {
  const { t, format } = useLocale();
  const time = format.dateTime(snapshot.time);
  const parameters = { appId: app.id, snapshotId: snapshot.id };
  return (
    <li className="relative grid gap-x-5 gap-y-2 px-5 py-4 transition-colors hover:bg-sunken/50 sm:grid-cols-[minmax(0,1fr)_auto] sm:px-6">
      <div className="min-w-0">
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <Link
            to="/apps/$appId/snapshots/$snapshotId"
            params={parameters}
            aria-label={t('snapshot.open', { time })}
            className="rounded font-semibold after:absolute after:inset-0"
          >
            <DateTime at={snapshot.time} />
          </Link>
          <Ago at={snapshot.time} className="text-sm text-ink-2" />
        </div>
        <div className="mt-0.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
          <span className="inline-flex items-center gap-1.5 text-ink-2">
            <KindMark kind={snapshot.kind} />
            {t(`kind.${snapshot.kind}`)}
          </span>
          {snapshot.name !== null && <span className="min-w-0 break-words font-medium">{snapshot.name}</span>}
          {snapshot.partial && (
            <span className="inline-flex items-center gap-1 rounded-full bg-warn-soft px-2 text-xs font-semibold leading-5 text-warn">
              <TriangleAlert size={13} aria-hidden="true" />
              {t('snapshot.partial')}
            </span>
          )}
        </div>
        <div className="mt-2 flex flex-wrap items-center gap-x-3 gap-y-1.5">
          <Coverage saved={provenKinds(snapshot)} expected={[]} />
          {snapshot.commit !== null && (
            <span className="inline-flex items-center gap-1 font-mono text-xs text-ink-2" title={snapshot.commit}>
              <GitCommitHorizontal size={14} aria-hidden="true" />
              {shortCommit(snapshot.commit)}
            </span>
          )}
        </div>
      </div>
      <div className="flex flex-wrap items-center justify-between gap-x-5 gap-y-2 sm:justify-end">
        <dl className="numbers flex gap-x-5 text-sm sm:text-right">
          <Amount label={t('snapshot.size')} value={format.bytes(snapshot.bytes)} />
          <Amount
            label={t('snapshot.added')}
            value={format.bytes(snapshot.bytesAdded)}
            title={t('snapshot.addedHint')}
          />
          <Amount label={t('snapshot.files')} value={format.number(snapshot.files)} roomOnly />
        </dl>
        <ButtonLink
          to="/apps/$appId/snapshots/$snapshotId/restore"
          params={parameters}
          aria-label={t('snapshot.restoreOf', { time })}
          className="relative z-10"
        >
          <RotateCcw size={15} aria-hidden="true" />
          {t('snapshot.restore')}
        </ButtonLink>
      </div>
    </li>
  );
}

/** What the facts in the list prove to be in it; the page of the snapshot shows all of it. */
function provenKinds(snapshot: AppSnapshot): Component['kind'][] {
  const kinds: Component['kind'][] = [];
  if (snapshot.walLsn !== null) kinds.push('database');
  if (snapshot.files > 0) kinds.push('volume');
  if (snapshot.commit !== null) kinds.push('code');
  return kinds;
}

interface AmountProps {
  readonly label: string;
  readonly value: string;
  readonly title?: string;
  /** Left out on narrow screens. */
  readonly roomOnly?: boolean;
}

function Amount({ label, value, title, roomOnly = false }: AmountProps): ReactNode {
  return (
    <div title={title} className={`sm:min-w-16 ${roomOnly ? 'max-sm:hidden' : ''}`}>
      <dt className="text-xs text-ink-2">{label}</dt>
      <dd className="whitespace-nowrap">{value}</dd>
    </div>
  );
}

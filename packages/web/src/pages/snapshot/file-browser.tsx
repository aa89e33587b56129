// What is inside a snapshot: a folder at a time, with the way to it, and downloads of files and folders.

import { useInfiniteQuery } from '@tanstack/react-query';
import type { AppSnapshot, DownloadFormat, SnapshotEntry } from '@varve/contract';
import { ChevronRight, CornerDownRight, Download, File, FileQuestion, Folder, FolderArchive } from 'lucide-react';
import type { LucideIcon } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { downloadUrl } from '../../api/client.ts';
import { queries } from '../../api/queries.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { ProblemNotice } from '../../ui/notice.tsx';
import { Card, CardHeading, Skeleton } from '../../ui/surface.tsx';

export function FileBrowser({ snapshot }: { readonly snapshot: AppSnapshot }): ReactNode {
  const { t } = useLocale();
  const [path, setPath] = useState('/');
  const folder = useInfiniteQuery(queries.snapshotFolder(snapshot.appId, snapshot.id, path));
  const pages = folder.data?.pages ?? [];
  const entries = pages.flatMap((page) => page.entries);
  const left = (pages.at(-1)?.total ?? 0) - entries.length;
  return (
    <Card className="min-w-0 p-5 sm:p-6" aria-labelledby="files-title">
      <CardHeading id="files-title">{t('browse.title')}</CardHeading>
      <div className="mt-1 flex flex-wrap items-center justify-between gap-x-6 gap-y-2 border-b border-line pb-3">
        <Breadcrumb path={path} onOpen={setPath} />
        <div className="flex flex-wrap items-center gap-x-1 text-sm">
          <span className="flex items-center gap-1.5 text-ink-2">
            <FolderArchive size={16} aria-hidden="true" />
            {t('browse.folder')}
          </span>
          {(['zip', 'tar'] as const).map((format) => (
            <DownloadLink key={format} snapshot={snapshot} path={path} format={format}>
              .{format}
            </DownloadLink>
          ))}
        </div>
      </div>
      {folder.isPending && (
        <div className="pt-4">
          <Skeleton rows={3} label={t('loading')} />
        </div>
      )}
      {folder.isError && (
        <ProblemNotice problem={folder.error} onRetry={() => void folder.refetch()} className="mt-4" />
      )}
      {folder.isSuccess && entries.length === 0 && <p className="pt-4 text-ink-2">{t('browse.empty')}</p>}
      {entries.length > 0 && (
        <ul className="divide-y divide-line">
          {entries.map((entry) => (
            <Entry key={entry.path} entry={entry} snapshot={snapshot} onOpen={setPath} />
          ))}
        </ul>
      )}
      {folder.hasNextPage && (
        <Button
          look="quiet"
          className="-ml-3.5 mt-2"
          disabled={folder.isFetchingNextPage}
          onClick={() => void folder.fetchNextPage()}
        >
          {t('browse.more', { count: left })}
        </Button>
      )}
    </Card>
  );
}

interface OpensFolders {
  readonly onOpen: (path: string) => void;
}

function Breadcrumb({ path, onOpen }: OpensFolders & { readonly path: string }): ReactNode {
  const { t } = useLocale();
  const names = path.split('/').filter(Boolean);
  const steps = [
    { name: t('browse.root'), path: '/' },
    ...names.map((name, index) => ({ name, path: `/${names.slice(0, index + 1).join('/')}` })),
  ];
  return (
    <nav aria-label={t('browse.path')} className="-ml-1 min-w-0">
      <ol className="flex flex-wrap items-center gap-x-0.5">
        {steps.map((step, index) => (
          <li key={step.path} className="flex min-w-0 items-center gap-0.5">
            {index > 0 && <ChevronRight size={15} aria-hidden="true" className="shrink-0 text-ink-2" />}
            {index === steps.length - 1 ? (
              <span aria-current="location" className="wrap-anywhere px-1 py-1 font-semibold">
                {step.name}
              </span>
            ) : (
              <button
                type="button"
                className="wrap-anywhere rounded px-1 py-1 text-left text-accent hover:underline"
                onClick={() => onOpen(step.path)}
              >
                {step.name}
              </button>
            )}
          </li>
        ))}
      </ol>
    </nav>
  );
}

const icons: Readonly<Record<SnapshotEntry['type'], LucideIcon>> = {
  file: File,
  folder: Folder,
  link: CornerDownRight,
  other: FileQuestion,
};

/** What the folders at the top of every snapshot hold. */
const topFolders = {
  '/databases': 'browse.databases',
  '/volumes': 'browse.volumes',
  '/code': 'browse.code',
  '/config': 'browse.config',
  '/manifest.json': 'browse.manifest',
} as const;

function Entry({
  entry,
  snapshot,
  onOpen,
}: OpensFolders & { readonly entry: SnapshotEntry; readonly snapshot: AppSnapshot }): ReactNode {
  const { t, format } = useLocale();
  const Icon = icons[entry.type];
  const meaning = entry.path in topFolders ? t(topFolders[entry.path as keyof typeof topFolders]) : undefined;
  const facts = [
    entry.bytes === null ? undefined : format.bytes(entry.bytes),
    entry.modifiedAt === null ? undefined : format.dateTime(entry.modifiedAt),
  ].filter((fact) => fact !== undefined);
  return (
    <li className="flex min-h-12 items-center gap-3 py-1.5">
      <Icon
        size={18}
        aria-label={t(`browse.type.${entry.type}`)}
        className={`shrink-0 ${entry.type === 'folder' ? 'text-accent' : 'text-ink-2'}`}
      />
      <div className="min-w-0 flex-1 sm:flex sm:items-baseline sm:justify-between sm:gap-6">
        <p className="min-w-0 wrap-anywhere">
          {entry.type === 'folder' ? (
            <button
              type="button"
              className="min-h-6 text-left font-medium hover:text-accent hover:underline"
              onClick={() => onOpen(entry.path)}
            >
              {entry.name}
            </button>
          ) : (
            entry.name
          )}
          {entry.target !== null && <span className="text-ink-2"> → {entry.target}</span>}
          {meaning !== undefined && <span className="ml-2 text-sm text-ink-2">{meaning}</span>}
        </p>
        <p className="numbers shrink-0 text-xs text-ink-2 sm:text-sm">{facts.join(' · ')}</p>
      </div>
      <span className="flex w-9 shrink-0 justify-end">
        {(entry.type === 'file' || entry.type === 'folder') && (
          <DownloadLink
            snapshot={snapshot}
            path={entry.path}
            format={entry.type === 'file' ? 'file' : 'zip'}
            label={t(entry.type === 'file' ? 'browse.downloadFile' : 'browse.downloadZip', { name: entry.name })}
          >
            <Download size={17} aria-hidden="true" />
          </DownloadLink>
        )}
      </span>
    </li>
  );
}

function DownloadLink({
  snapshot,
  path,
  format,
  label,
  children,
}: {
  readonly snapshot: AppSnapshot;
  readonly path: string;
  readonly format: DownloadFormat;
  readonly label?: string;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <a
      href={downloadUrl(snapshot.appId, snapshot.id, { path, format })}
      download
      {...(label === undefined ? {} : { 'aria-label': label, title: label })}
      className="inline-flex min-h-9 min-w-9 items-center justify-center rounded-md px-2 font-medium text-accent hover:bg-accent-soft"
    >
      {children}
    </a>
  );
}

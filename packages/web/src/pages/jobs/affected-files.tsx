// What damage has reached: the files of snapshots that a check named, by path.

import type { JobResult } from '@varve/contract';
import { File, Folder } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { shortId } from '../../domain/labels.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Button } from '../../ui/button.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';

const shownAtFirst = 20;

export function AffectedFiles({ result }: { readonly result: Extract<JobResult, { type: 'check' }> }): ReactNode {
  const { t, format } = useLocale();
  const [isWhole, setWhole] = useState(false);
  const byPath = [...Map.groupBy(result.affected, ({ path, type }) => `${type} ${path}`).values()];
  const shown = isWhole ? byPath : byPath.slice(0, shownAtFirst);
  const unlisted = result.affectedCount - result.affected.length;
  return (
    <Card className="p-5 sm:p-6">
      <CardHeading>{t('affected.title', { count: result.affectedCount })}</CardHeading>
      <p className="text-sm text-ink-2">{t('affected.text')}</p>
      <ul className="mt-3 divide-y divide-line text-sm">
        {shown.map((files) => (
          <Affected key={`${files[0]?.type} ${files[0]?.path}`} files={files} />
        ))}
      </ul>
      {shown.length < byPath.length && (
        <Button look="quiet" className="-ml-3.5 mt-2" onClick={() => setWhole(true)}>
          {t('affected.more', { count: byPath.length - shown.length })}
        </Button>
      )}
      {unlisted > 0 && (
        <p className="mt-3 text-sm text-ink-2">{t('affected.unlisted', { count: format.number(unlisted) })}</p>
      )}
    </Card>
  );
}

function Affected({ files }: { readonly files: Extract<JobResult, { type: 'check' }>['affected'] }): ReactNode {
  const { t, format } = useLocale();
  const [first] = files;
  if (first === undefined) return null;
  const Icon = first.type === 'folder' ? Folder : File;
  return (
    <li className="flex items-start gap-2.5 py-2.5">
      <Icon size={16} aria-label={t(`affected.${first.type}`)} className="mt-0.5 shrink-0 text-ink-2" />
      <div className="min-w-0">
        <p className="break-all font-mono text-[0.8125rem]">{first.path}</p>
        <p className="break-words text-ink-2">{first.reason}</p>
        <p className="mt-0.5 text-xs text-ink-2">
          {t('affected.snapshots', {
            count: files.length,
            snapshots: format.list(files.slice(0, 6).map(({ snapshotId }) => shortId(snapshotId))),
          })}
        </p>
      </div>
    </li>
  );
}

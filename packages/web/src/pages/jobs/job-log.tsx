// The log of a job. While it runs the newest line stays in view, unless the reader has scrolled up.

import type { JobLogLine } from '@varve/contract';
import { useEffect, useRef } from 'react';
import type { ReactNode } from 'react';
import { useLocale } from '../../i18n/locale.tsx';
import { Card, CardHeading } from '../../ui/surface.tsx';

const levelLooks: Readonly<Record<JobLogLine['level'], string>> = {
  info: 'text-ink',
  warning: 'text-warn font-medium',
  error: 'text-bad font-medium',
};

export function JobLog({
  log,
  running,
}: {
  readonly log: readonly JobLogLine[];
  readonly running: boolean;
}): ReactNode {
  const { t, format } = useLocale();
  const box = useRef<HTMLOListElement>(null);
  const atEnd = useRef(true);
  const lineCount = log.length;
  useEffect(() => {
    if (lineCount > 0 && running && atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lineCount, running]);
  return (
    <Card className="p-5 sm:p-6" aria-labelledby="log-title">
      <CardHeading id="log-title">{t('job.log')}</CardHeading>
      {log.length === 0 ? (
        <p className="text-sm text-ink-2">{t('job.logEmpty')}</p>
      ) : (
        <ol
          ref={box}
          tabIndex={0}
          aria-labelledby="log-title"
          onScroll={({ currentTarget: list }) => {
            atEnd.current = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
          }}
          className="mt-2 max-h-96 overflow-y-auto rounded-lg bg-sunken px-4 py-3 font-mono text-[0.8125rem] leading-6"
        >
          {log.map((line, index) => (
            <li key={index} className="flex flex-col gap-x-4 sm:flex-row">
              <time dateTime={line.time} className="numbers shrink-0 text-ink-2">
                {format.clock(line.time)}
              </time>
              <span className={`min-w-0 break-words ${levelLooks[line.level]}`}>{line.message}</span>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

// Moments: absolute and relative, with the exact time as a title.

import type { ReactNode } from 'react';
import { useLocale, useNow } from '../i18n/locale.tsx';

interface TimeProps {
  readonly at: string;
  readonly className?: string;
}

/** `23 Nov 2026, 16:00` */
export function DateTime({ at, className = '' }: TimeProps): ReactNode {
  const { format } = useLocale();
  return (
    <time dateTime={at} title={format.exact(at)} className={`numbers ${className}`}>
      {format.dateTime(at)}
    </time>
  );
}

/** `12 minutes ago` */
export function Ago({ at, className = '' }: TimeProps): ReactNode {
  const { format } = useLocale();
  const now = useNow();
  return (
    <time dateTime={at} title={format.exact(at)} className={className}>
      {format.relative(at, now)}
    </time>
  );
}

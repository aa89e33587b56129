// Messages that stand in the page: problems with their remedy, warnings, good news.

import { CircleAlert, CircleCheck, Info, TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';
import { useLocale } from '../i18n/locale.tsx';
import { describeProblem } from '../domain/problem-text.ts';
import { Button } from './button.tsx';

type Tone = 'bad' | 'warning' | 'ok' | 'info';

const tones = {
  bad: { icon: CircleAlert, box: 'border-bad-mark/40 bg-bad-soft', text: 'text-bad' },
  warning: { icon: TriangleAlert, box: 'border-warn-mark/40 bg-warn-soft', text: 'text-warn' },
  ok: { icon: CircleCheck, box: 'border-ok-mark/40 bg-ok-soft', text: 'text-ok' },
  info: { icon: Info, box: 'border-line bg-sunken', text: 'text-ink-2' },
} as const;

interface NoticeProps {
  readonly tone: Tone;
  readonly title: ReactNode;
  readonly children?: ReactNode;
  readonly action?: ReactNode;
  /** Announced at once by screen readers. */
  readonly live?: boolean;
  readonly className?: string;
}

export function Notice({ tone, title, children, action, live = false, className = '' }: NoticeProps): ReactNode {
  const { icon: Icon, box, text } = tones[tone];
  return (
    <div
      {...(live ? { role: tone === 'bad' ? 'alert' : 'status' } : {})}
      className={`flex flex-wrap gap-x-4 gap-y-3 rounded-lg ${children === undefined ? 'items-center' : 'items-start'} border px-4 py-3 ${box} ${className}`}
    >
      <Icon size={20} aria-hidden="true" className={`shrink-0 ${children === undefined ? '' : 'mt-0.5'} ${text}`} />
      <div className="min-w-0 flex-1 basis-60">
        <p className="font-semibold">{title}</p>
        {children !== undefined && <div className="mt-0.5 text-sm text-ink">{children}</div>}
      </div>
      {action !== undefined && <div className="flex max-w-full flex-wrap gap-2 self-center">{action}</div>}
    </div>
  );
}

/** A failure: what it is in the reader's language, the server's own words, what to do. */
export function ProblemNotice({
  problem,
  onRetry,
  className = '',
}: {
  readonly problem: unknown;
  readonly onRetry?: (() => void) | undefined;
  readonly className?: string;
}): ReactNode {
  const { t, language } = useLocale();
  const { title, detail, hint, code } = describeProblem(problem, t, language);
  return (
    <Notice
      tone="bad"
      live
      title={title}
      className={className}
      action={onRetry && <Button onClick={onRetry}>{t('action.retry')}</Button>}
    >
      {detail !== null && <p className="break-words">{detail}</p>}
      {hint !== null && <p className="mt-1 text-ink-2">{hint}</p>}
      {code !== null && <p className="mt-1 font-mono text-xs text-ink-2">{t('error.code', { code })}</p>}
    </Notice>
  );
}

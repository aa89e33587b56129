// States: always a colour, an icon and a word together.

import type { Job } from '@varve/contract';
import {
  CircleAlert,
  CircleCheck,
  CircleDashed,
  CircleSlash,
  CircleX,
  Hourglass,
  LoaderCircle,
  TriangleAlert,
} from 'lucide-react';
import type { LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import type { Light } from '../domain/protection.ts';
import { useLocale } from '../i18n/locale.tsx';

interface Look {
  readonly icon: LucideIcon;
  readonly text: string;
  readonly soft: string;
}

const lights: Readonly<Record<Light, Look>> = {
  ok: { icon: CircleCheck, text: 'text-ok', soft: 'bg-ok-soft' },
  warning: { icon: TriangleAlert, text: 'text-warn', soft: 'bg-warn-soft' },
  bad: { icon: CircleAlert, text: 'text-bad', soft: 'bg-bad-soft' },
  idle: { icon: CircleDashed, text: 'text-ink-2', soft: 'bg-sunken' },
};

/** The icon of a state in its colour; the word has to stand beside it. */
export function LightIcon({ light, size = 18 }: { readonly light: Light; readonly size?: number }): ReactNode {
  const { icon: Icon, text } = lights[light];
  return <Icon size={size} aria-hidden="true" className={`shrink-0 ${text}`} />;
}

export function StateLight({ light, children }: { readonly light: Light; readonly children: ReactNode }): ReactNode {
  const { icon: Icon, text, soft } = lights[light];
  return (
    <span
      className={`inline-flex items-center gap-1.5 whitespace-nowrap rounded-full py-0.5 pl-1.5 pr-2.5 text-xs font-semibold ${text} ${soft}`}
    >
      <Icon size={15} aria-hidden="true" />
      {children}
    </span>
  );
}

const jobLooks: Readonly<Record<Job['state'], Look>> = {
  queued: { icon: Hourglass, text: 'text-ink-2', soft: 'bg-sunken' },
  running: { icon: LoaderCircle, text: 'text-accent', soft: 'bg-accent-soft' },
  succeeded: { icon: CircleCheck, text: 'text-ok', soft: 'bg-ok-soft' },
  partial: { icon: TriangleAlert, text: 'text-warn', soft: 'bg-warn-soft' },
  failed: { icon: CircleX, text: 'text-bad', soft: 'bg-bad-soft' },
  cancelled: { icon: CircleSlash, text: 'text-ink-2', soft: 'bg-sunken' },
};

export function JobStateChip({ state }: { readonly state: Job['state'] }): ReactNode {
  const { t } = useLocale();
  const { icon: Icon, text, soft } = jobLooks[state];
  return (
    <span
      className={`inline-flex items-center gap-1.5 whitespace-nowrap rounded-full py-0.5 pl-1.5 pr-2.5 text-xs font-semibold ${text} ${soft}`}
    >
      <Icon size={15} aria-hidden="true" className={state === 'running' ? 'animate-spin' : ''} />
      {t(`job.state.${state}`)}
    </span>
  );
}

// Places for content: cards, page headings, empty places, skeletons.

import { Link } from '@tanstack/react-router';
import type { LinkProps } from '@tanstack/react-router';
import { ChevronLeft } from 'lucide-react';
import type { ReactNode } from 'react';
import { CoreSample } from './strata.tsx';

interface CardProps {
  readonly children: ReactNode;
  readonly className?: string;
  readonly as?: 'section' | 'article' | 'div' | 'li';
  readonly 'aria-labelledby'?: string;
  readonly id?: string;
}

export function Card({ children, className = '', as: Element = 'section', ...rest }: CardProps): ReactNode {
  return (
    <Element className={`rounded-xl border border-line bg-surface shadow-card ${className}`} {...rest}>
      {children}
    </Element>
  );
}

interface PageHeadingProps {
  readonly title: ReactNode;
  readonly text?: ReactNode;
  readonly actions?: ReactNode;
  readonly back?: { readonly link: Pick<LinkProps, 'to' | 'params'>; readonly label: string };
}

export function PageHeading({ title, text, actions, back }: PageHeadingProps): ReactNode {
  return (
    <div className="mb-6">
      {back && (
        <Link
          {...(back.link as LinkProps)}
          className="-ml-1 mb-2 inline-flex min-h-6 items-center gap-0.5 rounded text-sm text-ink-2 hover:text-accent"
        >
          <ChevronLeft size={16} aria-hidden="true" />
          {back.label}
        </Link>
      )}
      <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
        <div className="min-w-0 max-w-3xl">
          <h1 className="text-2xl font-semibold tracking-tight sm:text-[1.75rem] sm:leading-9">{title}</h1>
          {text !== undefined && <div className="mt-1 text-ink-2">{text}</div>}
        </div>
        {actions !== undefined && <div className="flex flex-wrap gap-2">{actions}</div>}
      </div>
    </div>
  );
}

/** Heading inside a card, with room for an action at its end. */
export function CardHeading({
  id,
  children,
  action,
}: {
  readonly id?: string;
  readonly children: ReactNode;
  readonly action?: ReactNode;
}): ReactNode {
  return (
    <div className="flex min-h-9 flex-wrap items-center justify-between gap-2">
      <h2 {...(id === undefined ? {} : { id })} className="text-base font-semibold tracking-tight">
        {children}
      </h2>
      {action}
    </div>
  );
}

export function Empty({
  title,
  text,
  action,
}: {
  readonly title: string;
  readonly text?: ReactNode;
  readonly action?: ReactNode;
}): ReactNode {
  return (
    <div className="flex flex-col items-center gap-3 px-6 py-12 text-center">
      <CoreSample />
      <p className="mt-2 text-lg font-semibold tracking-tight">{title}</p>
      {text !== undefined && <p className="max-w-md text-ink-2">{text}</p>}
      {action}
    </div>
  );
}

/** Grey layers where content will be. */
export function Skeleton({ rows = 3, label }: { readonly rows?: number; readonly label: string }): ReactNode {
  return (
    <div role="status" className="flex flex-col gap-3">
      <span className="sr-only">{label}</span>
      {Array.from({ length: rows }, (_, index) => (
        <div
          key={index}
          aria-hidden="true"
          className={`shimmer rounded-md ${['h-5 w-2/3', 'h-4 w-full', 'h-4 w-5/6', 'h-10 w-full'][index % 4]}`}
        />
      ))}
    </div>
  );
}

/** Pairs of a word and a value. */
export function Facts({
  items,
  className = '',
}: {
  readonly items: readonly Fact[];
  readonly className?: string;
}): ReactNode {
  return (
    <dl className={`grid gap-x-8 gap-y-4 ${className}`}>
      {items.map(({ label, value }) => (
        <div key={label} className="min-w-0">
          <dt className="text-xs text-ink-2">{label}</dt>
          <dd className="numbers mt-0.5">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export interface Fact {
  readonly label: string;
  readonly value: ReactNode;
}

// Components of an app: kind, name, where it comes from.

import type { Component } from '@varve/contract';
import { Database, FileCog, FolderOpen, GitBranch } from 'lucide-react';
import type { LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { componentSource } from '../../domain/labels.ts';
import { useLocale } from '../../i18n/locale.tsx';

export const componentIcons: Readonly<Record<Component['kind'], LucideIcon>> = {
  database: Database,
  volume: FolderOpen,
  code: GitBranch,
  config: FileCog,
};

export function ComponentLine({
  component,
  leftOut = false,
  action,
}: {
  readonly component: Component;
  readonly leftOut?: boolean;
  readonly action?: ReactNode;
}): ReactNode {
  const { t } = useLocale();
  const Icon = componentIcons[component.kind];
  return (
    <li className={`flex items-start gap-2.5 text-sm ${leftOut ? 'line-through decoration-ink-2' : ''}`}>
      <Icon size={17} aria-hidden="true" className="mt-0.5 shrink-0 text-accent" />
      <div className="min-w-0 grow">
        <span className="font-medium">{component.name}</span>{' '}
        <span className="text-ink-2">{t(`component.${component.kind}`)}</span>
        <span className="block break-words text-ink-2">{componentSource(component, t)}</span>
      </div>
      {action}
    </li>
  );
}

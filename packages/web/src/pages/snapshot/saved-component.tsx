// One component as it was saved, with the facts that let somebody judge it.

import type { SavedCode, SavedComponent, SavedConfig, SavedDatabase, SavedVolume } from '@varve/contract';
import type { ReactNode } from 'react';
import { methodKeys, shortCommit } from '../../domain/labels.ts';
import { useLocale } from '../../i18n/locale.tsx';
import { Card, Facts } from '../../ui/surface.tsx';
import { componentIcons } from '../app/component-list.tsx';

export function SavedComponentCard({ component }: { readonly component: SavedComponent }): ReactNode {
  const { t } = useLocale();
  const Icon = componentIcons[component.kind];
  return (
    <Card className="min-w-0 p-5 sm:p-6">
      <h2 className="flex items-center gap-2.5 text-base font-semibold tracking-tight">
        <Icon size={18} aria-hidden="true" className="shrink-0 text-accent" />
        {component.name}
        <span className="text-sm font-normal text-ink-2">{t(`component.${component.kind}`)}</span>
      </h2>
      <div className="mt-4">
        {component.kind === 'database' && <DatabaseFacts database={component} />}
        {component.kind === 'volume' && <VolumeFacts volume={component} />}
        {component.kind === 'code' && <CodeFacts code={component} />}
        {component.kind === 'config' && <ConfigFacts config={component} />}
      </div>
      <p className="mt-4 break-all border-t border-line pt-3 text-xs text-ink-2">
        {t('snapshot.path')}: <span className="font-mono">{component.path}</span>
      </p>
    </Card>
  );
}

function DatabaseFacts({ database }: { readonly database: SavedDatabase }): ReactNode {
  const { t, format } = useLocale();
  return (
    <>
      <Facts
        className="grid-cols-2"
        items={[
          // What the distribution adds in parentheses says nothing to a reader.
          { label: t('snapshot.server'), value: database.serverVersion.replace(/ \(.*$/, '') },
          {
            label: t('snapshot.method'),
            value: t(methodKeys[database.dump === undefined ? database.method : 'both']),
          },
          { label: t('snapshot.size'), value: format.bytes(database.bytes) },
          ...(database.walLsn === null
            ? []
            : [{ label: t('snapshot.lsn'), value: <span className="font-mono text-sm">{database.walLsn}</span> }]),
        ]}
      />
      {database.databases.length > 0 && (
        <ul aria-label={t('snapshot.databasesIn')} className="mt-4 divide-y divide-line border-y border-line text-sm">
          {database.databases.map(({ name, bytes, owner, encoding }) => (
            <li key={name} className="numbers flex flex-wrap justify-between gap-x-4 py-2">
              <span className="font-medium">{name}</span>
              <span className="text-ink-2">
                {owner} · {encoding} · {format.bytes(bytes)}
              </span>
            </li>
          ))}
        </ul>
      )}
      {(database.globalsPath ?? database.dump?.globalsPath ?? null) !== null && (
        <p className="mt-3 text-sm text-ink-2">{t('snapshot.roles')}</p>
      )}
    </>
  );
}

function VolumeFacts({ volume }: { readonly volume: SavedVolume }): ReactNode {
  const { t, format } = useLocale();
  return (
    <>
      <Facts
        className="grid-cols-2"
        items={[
          { label: t('snapshot.files'), value: format.number(volume.files) },
          { label: t('snapshot.size'), value: format.bytes(volume.bytes) },
        ]}
      />
      <p className="mt-4 text-xs text-ink-2">{t('snapshot.source')}</p>
      <p className="break-all font-mono text-[0.8125rem]">{volume.source}</p>
    </>
  );
}

function CodeFacts({ code }: { readonly code: SavedCode }): ReactNode {
  const { t, format } = useLocale();
  return (
    <>
      <Facts
        className="grid-cols-2"
        items={[
          {
            label: t('snapshot.commit'),
            value:
              code.commit === null ? (
                t('snapshot.noCommit')
              ) : (
                <span title={code.commit}>
                  <span className="font-mono text-sm">{shortCommit(code.commit)}</span>{' '}
                  <span className={`block text-sm ${code.dirty ? 'text-warn' : 'text-ink-2'}`}>
                    {t(code.dirty ? 'snapshot.dirty' : 'snapshot.clean')}
                  </span>
                </span>
              ),
          },
          { label: t('snapshot.branch'), value: code.branch ?? '—' },
          { label: t('snapshot.size'), value: format.bytes(code.bytes) },
        ]}
      />
      <p className="mt-4 text-xs text-ink-2">{t('snapshot.source')}</p>
      <p className="break-all font-mono text-[0.8125rem]">{code.source}</p>
    </>
  );
}

function ConfigFacts({ config }: { readonly config: SavedConfig }): ReactNode {
  const { t } = useLocale();
  return (
    <div className="flex flex-col gap-4">
      {config.files.length > 0 && (
        <div>
          <h3 className="text-xs text-ink-2">{t('snapshot.configFiles')}</h3>
          <ul className="mt-1 font-mono text-[0.8125rem]">
            {config.files.map(({ source }) => (
              <li key={source} className="break-all">
                {source}
              </li>
            ))}
          </ul>
        </div>
      )}
      {config.containers.length > 0 && (
        <div>
          <h3 className="text-xs text-ink-2">{t('snapshot.images')}</h3>
          <ul className="mt-1 flex flex-col gap-2 text-sm">
            {config.containers.map((container) => (
              <li key={container.name}>
                <span className="font-medium">{container.service}</span>{' '}
                <span className="text-ink-2">
                  {container.image} · {t(container.wasRunning ? 'snapshot.running' : 'snapshot.stopped')}
                </span>
                {container.imageDigest !== null && (
                  <span className="block truncate font-mono text-xs text-ink-2" title={container.imageDigest}>
                    {container.imageDigest}
                  </span>
                )}
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}

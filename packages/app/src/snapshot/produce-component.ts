// Which producer saves which kind of component, and with what around it.

import type { App, Component } from '@varve/contract';
import type { ArchiveSession, Repository, Snapshot } from '@varve/repository';
import { saveCode } from '../components/code/save-code.ts';
import { pathsOfOthers } from '../components/code/paths-of-others.ts';
import { saveConfig } from '../components/config/save-config.ts';
import { databaseAccess } from '../components/database/database-access.ts';
import { saveBoth } from '../components/database/save-both.ts';
import { saveCluster } from '../components/database/save-cluster.ts';
import { saveDump } from '../components/database/save-dump.ts';
import type { ProjectOnEngine } from '../components/docker-project.ts';
import type { Produced } from '../components/producer.ts';
import { saveVolume } from '../components/volume/save-volume.ts';
import type { RunContext } from '../use-case.ts';

export interface ProduceInput {
  readonly context: RunContext;
  readonly app: App;
  readonly component: Component;
  readonly project: ProjectOnEngine | null;
  readonly session: ArchiveSession;
  readonly repository: Repository;
  /** The snapshot before of the same app. */
  readonly parent: Snapshot | undefined;
  /** Containers that ran before the snapshot began. */
  readonly running: ReadonlySet<string>;
  readonly signal: AbortSignal;
  readonly onStep: (current: string) => void;
}

/** Saves one component; rejects when any part of it failed but single files that could not be read. */
export async function produce(input: ProduceInput): Promise<Produced> {
  const { context, app, component, project } = input;
  switch (component.kind) {
    case 'volume':
      return saveVolume({ ...input, component, runId: context.runId });
    case 'code':
      return saveCode({
        ...input,
        component,
        excluded: await pathsOfOthers({ app, component, project, signal: input.signal }),
      });
    case 'config':
      return saveConfig({ ...input, component });
    case 'database': {
      const access = await databaseAccess({ component, secrets: context.secrets, project, signal: input.signal });
      const archivedWal = component.walArchive && { appId: app.id, component: component.name };
      const database = { ...input, component, access, archivedWal, log: context.log };
      if (component.method === 'dump') return saveDump(database);
      const saveFiles = () => saveCluster(database);
      return component.method === 'base' ? saveFiles() : saveBoth(database, saveFiles);
    }
  }
}

// The form of a host app as data, and what it becomes for the API. Pure.

import { appIdSchema } from '@varve/contract';
import type { DatabaseMethod, NewAppInput } from '@varve/contract';
import { splitCommand } from '../../domain/command-line.ts';
import { linesOf } from './lines.ts';

export interface HostAppDraft {
  readonly id: string;
  readonly name: string;
  readonly folders: string;
  readonly code: string;
  readonly configFiles: string;
  readonly databaseUrl: string;
  readonly method: DatabaseMethod;
  readonly dataDirectory: string;
  readonly binDirectory: string;
  readonly stopCommand: string;
  readonly startCommand: string;
}

export const emptyDraft: HostAppDraft = {
  id: '',
  name: '',
  folders: '',
  code: '',
  configFiles: '',
  databaseUrl: '',
  method: 'dump',
  dataDirectory: '',
  binDirectory: '',
  stopCommand: '',
  startCommand: '',
};

export type DraftProblem =
  | { readonly type: 'id' }
  | { readonly type: 'empty' }
  | { readonly type: 'path'; readonly field: keyof HostAppDraft; readonly path: string }
  | { readonly type: 'quote'; readonly field: 'stopCommand' | 'startCommand' };

const pathFields = ['folders', 'code', 'configFiles', 'dataDirectory', 'binDirectory'] as const;

/** Everything that is not right with the draft. */
export function problemsOf(draft: HostAppDraft): DraftProblem[] {
  const problems: DraftProblem[] = [];
  if (!appIdSchema.safeParse(draft.id).success) problems.push({ type: 'id' });
  for (const field of pathFields) {
    const path = linesOf(draft[field]).find((line) => !line.startsWith('/'));
    if (path !== undefined) problems.push({ type: 'path', field, path });
  }
  for (const field of ['stopCommand', 'startCommand'] as const) {
    if (splitCommand(draft[field]) === undefined) problems.push({ type: 'quote', field });
  }
  const empty =
    draft.databaseUrl.trim() === '' && linesOf(draft.folders).length === 0 && linesOf(draft.code).length === 0;
  if (empty) problems.push({ type: 'empty' });
  return problems;
}

/** The request for a draft without problems. */
export function requestOf(draft: HostAppDraft): NewAppInput {
  const stopCommand = splitCommand(draft.stopCommand) ?? [];
  const startCommand = splitCommand(draft.startCommand) ?? [];
  const url = draft.databaseUrl.trim();
  return {
    type: 'host',
    id: draft.id,
    ...(draft.name.trim() === '' ? {} : { name: draft.name.trim() }),
    folders: linesOf(draft.folders),
    code: linesOf(draft.code),
    configFiles: linesOf(draft.configFiles),
    databases:
      url === ''
        ? []
        : [
            {
              name: 'db',
              url,
              method: draft.method,
              ...(draft.dataDirectory.trim() === '' ? {} : { dataDirectory: draft.dataDirectory.trim() }),
              ...(draft.binDirectory.trim() === '' ? {} : { binDirectory: draft.binDirectory.trim() }),
            },
          ],
    ...(stopCommand.length === 0 ? {} : { stopCommand }),
    ...(startCommand.length === 0 ? {} : { startCommand }),
  };
}

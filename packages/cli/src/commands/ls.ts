// `varve ls APP [SNAPSHOT] [PATH]`: what is in a folder of a snapshot.

import { formatBytes } from '@varve/base';
import type { SnapshotEntry, SnapshotFolder } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { tableLines } from '../output/table.ts';
import { printable } from '../output/text.ts';
import { absoluteTime } from '../output/time.ts';

const page = 5000;

export const addLsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('ls')
    .description('list a folder of a snapshot of an app')
    .argument('<app>', 'id of the app')
    .argument('[snapshot]', 'id, its beginning, or latest', 'latest')
    .argument('[path]', 'folder in the snapshot', '/')
    .addHelpText(
      'after',
      examples(
        ['What the newest snapshot holds', 'varve ls shop'],
        ['A folder of files', 'varve ls shop 1a2b3c4d /volumes/web-data'],
      ),
    );
  register(command, async (session) => {
    const [appId = '', snapshot = 'latest', path = '/'] = command.processedArgs as string[];
    await using varve = await session.openVarve();
    const list = (offset: number): Promise<SnapshotFolder> =>
      varve.listSnapshotFolder(appId, snapshot, { path, offset, limit: page, signal: session.signal });
    const folder = await list(0);
    const entries = [...folder.entries];
    while (entries.length < folder.total) {
      const { entries: more } = await list(entries.length);
      if (more.length === 0) break;
      entries.push(...more);
    }
    session.print({ ...folder, entries }, () => (entries.length === 0 ? ['The folder is empty.'] : lines(entries)));
  });
};

function lines(entries: readonly SnapshotEntry[]): string[] {
  return tableLines(
    [{ title: 'SIZE', align: 'right' }, { title: 'MODIFIED' }, { title: 'NAME' }],
    entries.map(({ name, type, bytes, modifiedAt, target }) => [
      bytes === null ? '-' : formatBytes(bytes),
      modifiedAt === null ? '-' : absoluteTime(modifiedAt),
      printable(name) + (type === 'folder' ? '/' : '') + (target === null ? '' : ` -> ${printable(target)}`),
    ]),
  );
}

// `varve download APP SNAPSHOT PATH`: a file of a snapshot, or a folder as tar or zip, into a file or to standard output.

import { resolve } from 'node:path';
import { AppError, formatBytes, isAppError } from '@varve/base';
import type { Download, Varve } from '@varve/app';
import { Option } from 'commander';
import { examples, type AddCommand } from '../command.ts';
import { printable } from '../output/text.ts';
import { toFile, toOutput } from '../output/write-bytes.ts';

interface Options {
  readonly archive: 'tar' | 'zip';
  readonly output?: string;
}

export const addDownloadCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('download')
    .description('take a file or a folder out of a snapshot; nothing of the app is touched')
    .argument('<app>', 'id of the app')
    .argument('<snapshot>', 'id, its beginning, or latest')
    .argument('<path>', 'file or folder in the snapshot; / for all of it')
    .option('-o, --output <file>', 'write into this file; standard output when absent')
    .addOption(new Option('-a, --archive <format>', 'format of a folder').choices(['tar', 'zip']).default('tar'))
    .addHelpText(
      'after',
      examples(
        ['One file', 'varve download shop latest /volumes/web-data/report.pdf -o report.pdf'],
        ['A folder as zip', 'varve download shop 1a2b3c4d /volumes/web-data -a zip -o web-data.zip'],
      ),
    );
  register(command, async (session) => {
    const { archive, output } = command.opts<Options>();
    const [appId = '', snapshot = '', path = ''] = command.args;
    const { out, cwd } = session.io;
    if (session.json && output === undefined) {
      throw new AppError('USAGE_INVALID', 'The content and JSON cannot both go to standard output.', {
        hint: 'Give --output FILE with --json.',
      });
    }
    await using varve = await session.openVarve();
    const wanted = { appId, snapshot, path, archive, signal: session.signal };
    await using download = await open(varve, wanted);
    if (output === undefined) {
      if (out.isTerminal && download.bytes === null) {
        throw new AppError('USAGE_INVALID', 'An archive would be written to the terminal.', {
          hint: 'Send the output into a file or a program, or give --output.',
        });
      }
      await toOutput(out, download.content);
      return;
    }
    const counter = new Counter(download.content);
    const file = resolve(cwd, output);
    await toFile(file, counter);
    session.print({ file, bytes: counter.bytes }, () => [`${printable(file)}: ${formatBytes(counter.bytes)}.`]);
  });
};

/** A file as it is, a folder as an archive. */
async function open(
  varve: Varve,
  wanted: {
    readonly appId: string;
    readonly snapshot: string;
    readonly path: string;
    readonly archive: 'tar' | 'zip';
    readonly signal: AbortSignal;
  },
): Promise<Download> {
  const { appId, snapshot, path, archive, signal } = wanted;
  try {
    return await varve.openDownload(appId, snapshot, { path, format: 'file', signal });
  } catch (error) {
    if (!isAppError(error, 'PATH_NOT_FOUND')) throw error;
    return varve.openDownload(appId, snapshot, { path, format: archive, signal });
  }
}

/** Counts what passes. */
class Counter {
  bytes = 0;
  readonly #source: AsyncIterable<Uint8Array>;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for await (const part of this.#source) {
      this.bytes += part.length;
      yield part;
    }
  }
}

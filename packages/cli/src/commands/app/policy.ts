// `varve app policy APP`: shows the policy of an app, or changes the parts that the options name.

import { examples, type AddCommand } from '../../command.ts';
import { parseInput } from '../../options/parse-input.ts';
import { addPolicyOptions, policyFromOptions } from '../../options/policy-options.ts';
import { policyFacts } from '../../output/policy.ts';
import { factLines } from '../../output/table.ts';

export const addPolicyCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('policy')
    .description('show the policy of an app, or change the parts that options name')
    .argument('<app>', 'id of the app')
    .addHelpText(
      'after',
      examples(
        ['Show it', 'varve app policy shop'],
        [
          'Every night at 3 in Madrid, two weeks of them',
          "varve app policy shop --schedule '0 3 * * *' --time-zone Europe/Madrid --keep-daily 14",
        ],
      ),
    );
  addPolicyOptions(command);
  register(command, async (session) => {
    const { policySchema } = await import('@varve/contract');
    const appId = command.args[0] ?? '';
    await using varve = await session.openVarve();
    const { app } = await varve.getApp(appId);
    const changed = policyFromOptions(command, app.policy);
    const { policy } = changed ? await varve.updatePolicy(appId, parseInput(policySchema, changed)) : app;
    session.print(policy, () => factLines(policyFacts(policy)));
  });
};

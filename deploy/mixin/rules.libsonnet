// Reads a file of rules.

// Not every jsonnet resolves the anchors of YAML: that in C++ takes `*name` for a text. Here each alias is replaced by
// what its anchor marks, in the one form in which the files have them: `key: &name >-`, and a block below it.
local resolved(file, text) =
  local lines = std.split(text, '\n');
  local numbers = std.range(0, std.length(lines) - 1);
  local place(number) = '%s:%d: ' % [file, number + 1];
  local isBare(key) = key != '' && std.length(std.stripChars(key, 'abcdefghijklmnopqrstuvwxyz_')) == 0;
  // How deep a line is indented; an empty one not at all.
  local depth(line) = std.length(line) - std.length(std.lstripChars(line, ' '));
  // The lines below this one that are indented deeper than it is.
  local block(number) =
    local deeper = std.substr(lines[number], 0, depth(lines[number])) + ' ';
    local others = [other for other in numbers if other > number && !std.startsWith(lines[other], deeper)];
    lines[number + 1:if others == [] then std.length(lines) else others[0]];
  // What follows `key: &` or `key: *`, where the key is nothing but a word.
  local marked(number, mark) =
    local parts = std.split(lines[number], ': ' + mark);
    if std.length(parts) == 2 && isBare(std.lstripChars(parts[0], ' '))
    then { key: parts[0], words: std.split(parts[1], ' ') }
    else null;
  local anchors = {
    [line.words[0]]: {
      assert std.length(line.words) == 2 && std.member(['>-', '>', '|', '|-'], line.words[1]) :
             place(number) + 'after &' + line.words[0] + ' only >-, >, | or |- is read',
      style: line.words[1],
      block: block(number),
    }
    for number in numbers
    for line in [marked(number, '&')]
    if line != null
  };
  local written(number) =
    local anchor = marked(number, '&');
    local alias = marked(number, '*');
    if anchor != null then [anchor.key + ': ' + anchors[anchor.words[0]].style]
    else if alias != null then
      assert std.objectHas(anchors, alias.words[0]) : place(number) + 'no &' + alias.words[0] + ' in this file';
      local meant = anchors[alias.words[0]];
      [alias.key + ': ' + meant.style] + meant.block
    else [lines[number]];
  std.lines(std.flatMap(written, numbers));

{
  // The groups of a file of rules; its name is for errors.
  parse(file, text):: std.parseYaml(resolved(file, text)).groups,

  // The names of the limits that can be changed, as a set: the recording rules of the groups of limits.
  limits(groups):: std.set([rule.record for group in groups if $.isLimits(group) for rule in group.rules]),

  isLimits(group):: std.endsWith(group.name, '-limits'),

  withLimits(limits, groups):: [
    if $.isLimits(group) then group {
      rules: [
        if std.objectHas(limits, rule.record) then rule { expr: limits[rule.record] } else rule
        for rule in group.rules
      ],
    } else group
    for group in groups
  ],
}

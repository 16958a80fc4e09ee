<?php
$arUrlRewrite = [
    ['CONDITION' => '#^/rest/#', 'PATH' => '/bitrix/services/rest/index.php'],
    ['CONDITION' => '#^/mobile/#', 'PATH' => '/bitrix/tools/mobile.php'],
    ['CONDITION' => '#^/disk/downloadFile/(?<id>\d+)/#', 'PATH' => '/bitrix/tools/disk_download.php'],
    ['CONDITION' => '#^/(?:pub/imconnector/|pub/imbot\.php|services/telephony/info_receiver\.php|bitrix/tools/voximplant/)#', 'PATH' => '/bitrix/tools/public_receiver.php'],
    ['CONDITION' => '#^/(?:auth/|login/?)(?:index\.php)?$#', 'ID' => 'login'],
    ['CONDITION' => '#^/(?:stream/)?(?:index\.php)?$#', 'ID' => 'stream'],
    ['CONDITION' => '#^/company/personal/user/(?<user>\d+)/tasks/task/view/(?<id>\d+)/#', 'ID' => 'task'],
    ['CONDITION' => '#^/company/personal/user/(?<user>\d+)/tasks/$#', 'ID' => 'tasks'],
    ['CONDITION' => '#^/tasks/$#', 'ID' => 'tasks'],
    ['CONDITION' => '#^/company/personal/user/(?<id>\d+)/#', 'ID' => 'profile'],
    ['CONDITION' => '#^/company/$#', 'ID' => 'company'],
    ['CONDITION' => '#^/crm/(?<type>lead|deal|contact|company)/(?:list/)?$#', 'ID' => 'crm_list'],
    ['CONDITION' => '#^/crm/(?<type>lead|deal|contact|company)/details/(?<id>\d+)/#', 'ID' => 'crm_details'],
    ['CONDITION' => '#^/online/#', 'ID' => 'messenger'],
    ['CONDITION' => '#^/search/#', 'ID' => 'search'],
    ['CONDITION' => '#^/telephony/$#', 'ID' => 'telephony'],
];
